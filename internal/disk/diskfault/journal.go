package diskfault

import (
	"os"
	"slices"
)

// change is one act on names, attributes or a file's size that is not durable yet: all of it comes to be, or nothing.
type change struct {
	n       int // in the order of all changes
	names   []name
	makes   uint64   // the directory that it makes
	unmakes uint64   // what has no name any more
	moves   bool     // it gives a directory another name
	file    uint64   // whose attributes or size it changes
	attr    *[2]attr // before and after
	cut     bool     // it sets the size of file; the file knows it by n
}

// name is what becomes of one name: the inodes that stand there before and after, 0 for none.
type name struct {
	at            place
	before, after uint64
}

func (c *change) inodes() (all []uint64) {
	for _, n := range c.names {
		for _, i := range []uint64{n.before, n.after} {
			if i != 0 && !slices.Contains(all, i) {
				all = append(all, i)
			}
		}
	}
	return all
}

// touches says whether a change is about a thing: its name, its attributes, or the names in it.
func (c *change) touches(inode uint64) bool {
	return c.file == inode || slices.Contains(c.inodes(), inode) || slices.ContainsFunc(c.names, func(n name) bool { return n.at.dir == inode })
}

// add takes a change into the log.
func (s *system) add(c *change) {
	s.seen++
	c.n = s.seen
	s.log = append(s.log, c)
	for _, i := range c.inodes() {
		s.refs[i]++
	}
}

// synced makes durable what a sync of a file or a directory covers: loosely that alone, and in an ordered journal all before it.
func (s *system) synced(inode uint64, dir bool) {
	if f := s.files[inode]; f != nil && !dir {
		f.settle()
	}
	covered := make([]bool, len(s.log))
	for i, c := range s.log {
		if !c.touches(inode) {
			continue
		}
		s.journal = max(s.journal, c.n)
		covered[i] = c.file == inode || dir && slices.ContainsFunc(c.names, func(n name) bool { return n.at.dir == inode })
	}
	s.cover(covered)
	s.commit(covered)
	s.tidy(inode)
}

// syncedAll makes everything durable.
func (s *system) syncedAll() {
	covered := make([]bool, len(s.log))
	for i := range covered {
		covered[i] = true
	}
	for _, f := range s.files {
		f.settle()
	}
	s.commit(covered)
	for _, inode := range slices.Clone(s.order) {
		s.tidy(inode)
	}
}

// syncFailed notes that what a sync was to cover never becomes durable by another one.
func (s *system) syncFailed(inode uint64) {
	for i, f := range s.files {
		if inode == 0 || i == inode {
			f.fail()
		}
	}
}

// commit takes changes out of the log that are durable.
func (s *system) commit(covered []bool) {
	var rest []*change
	for i, c := range s.log {
		if !covered[i] {
			rest = append(rest, c)
			continue
		}
		if f := s.files[c.file]; f != nil && c.cut {
			f.commitCut(c.n)
		}
		for _, inode := range c.inodes() {
			if s.refs[inode]--; s.refs[inode] == 0 {
				delete(s.refs, inode)
				s.forget(inode)
			}
		}
	}
	s.log = rest
}

// forget removes for good what lies in the grave and cannot come back.
func (s *system) forget(inode uint64) {
	if !s.buried[inode] {
		return
	}
	delete(s.buried, inode)
	s.clean(inode)
	_ = os.RemoveAll(s.buriedAt(inode)) // what cannot be removed is in nobody's way
}

// needs lists for each change of the log those before it that it stands on: whoever loses one of them loses it too. alone leaves out that a directory has to have been made: what is
// durable in it goes with it.
func (s *system) needs(alone bool) [][]int {
	all := make([][]int, len(s.log))
	names := make(map[place]int)     // the last change of a name
	made := make(map[uint64]int)     // what makes a directory
	within := make(map[uint64][]int) // changes of names in a directory
	attrs := make(map[uint64]int)    // the last change of a thing's own
	moved := -1                      // the last move of anything that may be a directory
	for i, c := range s.log {
		for _, n := range c.names {
			if j, ok := names[n.at]; ok {
				all[i] = append(all[i], j)
			}
			if j, ok := made[n.at.dir]; ok && !alone {
				all[i] = append(all[i], j)
			}
		}
		if c.unmakes != 0 {
			all[i] = append(all[i], within[c.unmakes]...)
		}
		if c.moves { // or a tree could hang below itself
			if moved >= 0 {
				all[i] = append(all[i], moved)
			}
			moved = i
		}
		if j, ok := attrs[c.file]; ok && c.file != 0 {
			all[i] = append(all[i], j)
		}
		for _, n := range c.names {
			names[n.at] = i
			within[n.at.dir] = append(within[n.at.dir], i)
		}
		if c.makes != 0 {
			made[c.makes] = i
		}
		if c.file != 0 {
			attrs[c.file] = i
		}
	}
	return all
}

// cover adds what the covered changes stand on.
func (s *system) cover(covered []bool) {
	needs := s.needs(true)
	for i := len(covered) - 1; i >= 0; i-- {
		if covered[i] {
			for _, j := range needs[i] {
				covered[j] = true
			}
		}
	}
}
