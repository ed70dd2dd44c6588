package diskfault

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Loss is how a life ends for its disks.
type Loss uint8

// The ways to end.
const (
	Killed  Loss = iota // the process alone: nothing is lost
	Ordered             // a power cut; acts are lost from the last one back
	Loose               // a power cut; any act is lost on which none stands that is kept
)

func (l Loss) String() string {
	return [...]string{"killed", "power cut, in order", "power cut, in any order"}[l]
}

// Crash ends the present life and puts the directories into a state in which they may be found then. After a power cut all of it is durable. No act may be under way around the
// seam. An error says that the model could not do its work.
func (m *Model) Crash(rng *rand.Rand, l Loss) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != nil {
		m.life.dead.Store(true)
		m.life = nil
	}
	if l == Killed || m.broken != nil {
		return m.broken
	}
	m.lost.Cuts++
	for _, s := range m.systems {
		if err := s.crash(rng, l, &m.lost); err != nil {
			return fmt.Errorf("crash %s: %w", s.root, err)
		}
	}
	return nil
}

func (s *system) crash(rng *rand.Rand, l Loss, lost *Lost) error {
	kept := s.choose(rng, l)
	t, err := s.walk()
	if err != nil {
		return err
	}
	for _, k := range kept {
		if !k {
			lost.Acts++
		}
	}
	err = errors.Join(s.rename(t, kept, lost), s.rewrite(t, rng, kept, lost), s.reattribute(t, kept))
	if err != nil {
		return err
	}
	// New ones: what it takes to empty an old one depends on the numbers of inodes, and with it what random numbers of the process are used up.
	s.refs, s.files = make(map[uint64]int), make(map[uint64]*file)
	s.log, s.order = nil, nil
	for inode := range s.buried {
		err = errors.Join(err, os.RemoveAll(s.buriedAt(inode)))
	}
	s.buried = make(map[uint64]bool)
	return errors.Join(err, s.measure())
}

// choose draws which changes have come to be.
func (s *system) choose(rng *rand.Rand, l Loss) []bool {
	kept := make([]bool, len(s.log))
	chance := []float64{0, 0.3, 0.6, 0.9, 1}[rng.IntN(5)]
	if l == Loose {
		needs := s.needs(false)
		for i := range kept {
			kept[i] = rng.Float64() < chance && !slices.ContainsFunc(needs[i], func(j int) bool { return !kept[j] })
		}
		return kept
	}
	end := 0
	for end < len(s.log) && s.log[end].n <= s.journal {
		end++
	}
	end += int(chance * float64(len(s.log)-end+1))
	if chance > 0 && chance < 1 {
		end = max(0, end-rng.IntN(3))
	}
	for i := range kept {
		kept[i] = i < end || s.log[i].n <= s.journal
	}
	return kept
}

// tree is where every inode stands now.
type tree struct {
	roots map[uint64]string
	at    map[uint64]place
}

// graveInode stands for the grave in a tree.
const graveInode = ^uint64(0)

func (s *system) walk() (*tree, error) {
	t := &tree{roots: map[uint64]string{graveInode: s.grave}, at: make(map[uint64]place)}
	st, err := look(s.root, -1)
	if err != nil {
		return nil, err
	}
	t.roots[st.Ino] = s.root
	return t, errors.Join(t.below(s.root, st.Ino), t.below(s.grave, graveInode))
}

func (t *tree) below(dir string, inode uint64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		st, err := look(path, -1)
		if errors.Is(err, unix.ENOENT) {
			continue // somebody else's, who is at work
		}
		if err != nil {
			return err
		}
		if _, twice := t.at[st.Ino]; !twice { // what lies in the grave may still have its name: the name counts
			t.at[st.Ino] = place{inode, e.Name()}
		}
		if isDir(&st) {
			if err := t.below(path, st.Ino); err != nil {
				return err
			}
		}
	}
	return nil
}

// path is where an inode stands; "" for nowhere.
func (t *tree) path(inode uint64) string {
	if root := t.roots[inode]; root != "" {
		return root
	}
	p, ok := t.at[inode]
	if !ok {
		return ""
	}
	above := t.path(p.dir)
	if above == "" {
		return ""
	}
	return filepath.Join(above, p.name)
}

// under gives what stands at a place now; 0 for nothing.
func (t *tree) under(p place) (inode uint64) {
	dir := t.path(p.dir)
	if dir == "" {
		return 0
	}
	st, err := look(filepath.Join(dir, p.name), -1)
	if err != nil {
		return 0
	}
	return st.Ino
}

// move gives an inode another place.
func (t *tree) move(inode uint64, to place) error {
	from, dir := t.path(inode), t.path(to.dir)
	if from == "" || dir == "" {
		return fs.ErrNotExist
	}
	if err := os.Rename(from, filepath.Join(dir, to.name)); err != nil {
		return err
	}
	t.at[inode] = to
	return nil
}

// rename takes back the names that are lost: whatever is to have another name goes to the grave first, and comes from there.
func (s *system) rename(t *tree, kept []bool, lost *Lost) error {
	want := make(map[place]uint64)
	var places []place
	now := make(map[place]uint64)
	for i, c := range s.log {
		for _, n := range c.names {
			if _, seen := want[n.at]; !seen {
				places = append(places, n.at)
				want[n.at] = n.before
			}
			if kept[i] {
				want[n.at] = n.after
			}
			now[n.at] = n.after
		}
	}
	times := s.times(t, places)
	for _, p := range places {
		here := t.under(p)
		if here == want[p] {
			delete(want, p)
			continue
		}
		if here != now[p] { // somebody has been there around the seam: it stays
			lost.Beyond++
			delete(want, p)
			continue
		}
		if here == 0 {
			continue
		}
		s.buried[here] = true
		if err := t.move(here, place{graveInode, strconv.FormatUint(here, 10)}); err != nil {
			return err
		}
	}
	for _, p := range places {
		inode, ok := want[p]
		if !ok || inode == 0 {
			continue
		}
		err := t.move(inode, p)
		if errors.Is(err, fs.ErrNotExist) { // taken away around the seam
			lost.Beyond++
			continue
		}
		if err != nil {
			return err
		}
		delete(s.buried, inode)
	}
	return restoreTimes(t, times)
}

// times notes the times of directories, which taking back moves on.
func (s *system) times(t *tree, places []place) map[uint64]attr {
	times := make(map[uint64]attr)
	for _, p := range places {
		if st, err := look(t.path(p.dir), -1); err == nil {
			times[p.dir] = attrOf(&st)
		}
	}
	return times
}

func restoreTimes(t *tree, times map[uint64]attr) (err error) {
	for inode, a := range times {
		if path := t.path(inode); path != "" {
			err = errors.Join(err, a.apply(path))
		}
	}
	return err
}

// rewrite gives every file the content that has come to be.
func (s *system) rewrite(t *tree, rng *rand.Rand, kept []bool, lost *Lost) error {
	cuts := make(map[int]bool)
	for i, c := range s.log {
		cuts[c.n] = kept[i]
	}
	for _, inode := range s.order {
		content, pages := s.files[inode].after(rng, func(n int) bool { return cuts[n] })
		path := t.path(inode)
		if path == "" || s.buried[inode] {
			continue
		}
		lost.Pages += pages
		st, err := look(path, -1)
		if err != nil {
			return err
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0); err != nil {
			return err
		}
		if err := attrOf(&st).apply(path); err != nil {
			return err
		}
	}
	return nil
}

// reattribute takes back modes, owners and times that are lost, each by itself.
func (s *system) reattribute(t *tree, kept []bool) (err error) {
	for _, of := range parts {
		want := make(map[uint64]attr)
		for i, c := range s.log {
			if c.attr == nil || of.same(c.attr[0], c.attr[1]) {
				continue
			}
			if _, seen := want[c.file]; !seen {
				want[c.file] = c.attr[0]
			}
			if kept[i] {
				want[c.file] = c.attr[1]
			}
		}
		for inode, w := range want {
			path := t.path(inode)
			if st, failed := look(path, -1); failed == nil {
				now := attrOf(&st)
				of.set(&now, w)
				err = errors.Join(err, now.apply(path))
			}
		}
	}
	return err
}

// parts are what each act changes of an attr: times last, since setting the others leaves them.
var parts = []struct {
	same func(a, b attr) bool
	set  func(to *attr, from attr)
}{
	{func(a, b attr) bool { return a.uid == b.uid && a.gid == b.gid }, func(to *attr, from attr) { to.uid, to.gid = from.uid, from.gid }},
	{func(a, b attr) bool { return a.mode == b.mode }, func(to *attr, from attr) { to.mode = from.mode }},
	{func(a, b attr) bool { return a.mtime == b.mtime }, func(to *attr, from attr) { to.mtime = from.mtime }},
}
