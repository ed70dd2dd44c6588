package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Kind says what an act does.
type Kind uint8

// The kinds of act. Closing, seeking, leases, advice and the start of a writeback are none: they promise nothing and lose nothing.
const (
	Open     Kind = iota + 1 // something that is there, to read or to write
	Create                   // a file, or the one that is there; Flag tells
	Read                     // Len bytes at At
	Write                    // the same; also what the kernel copies, then without Data
	Truncate                 // to At bytes
	Mkdir
	Rename    // Path to To, which goes
	RenameNew // the same; a To that is there refuses it
	Exchange  // Path and To
	Remove    // one name: a file or an empty directory
	Chmod
	Chown
	Times
	Sync       // one file's content and size
	SyncDir    // one directory's names
	SyncSystem // everything below the file system that holds Path
	Stat       // also the question whether something may be read
	List       // some or all names of a directory
	Space      // how much is free
	kinds
)

// Kinds is one more than the highest Kind.
const Kinds = int(kinds)

var kindNames = [kinds]string{
	Open: "open", Create: "create", Read: "read", Write: "write", Truncate: "truncate", Mkdir: "mkdir", Rename: "rename", RenameNew: "rename-new", Exchange: "exchange",
	Remove: "remove", Chmod: "chmod", Chown: "chown", Times: "times", Sync: "sync", SyncDir: "sync-dir", SyncSystem: "sync-system", Stat: "stat", List: "list", Space: "space",
}

// String is the kind in a word.
func (k Kind) String() string {
	if k < kinds && kindNames[k] != "" {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Op is one act on its way. Paths are absolute, and say where a thing stands now, also for a file that was moved since it was opened.
type Op struct {
	Kind Kind
	Path string
	To   string // of Rename, RenameNew and Exchange
	Fd   int    // of what is open already, to look at it; -1 for an act by name
	Flag int    // of Open and Create: as open(2) has them
	At   int64
	Len  int
	Data []byte // of Write: not to be kept, not to be changed
	Free *Free  // of Space: After may change what it says
}

// Free is what a file system has left.
type Free struct{ Bytes, Inodes, Total int64 }

// Probe stands between a house and its file systems. It is how a test counts, fails, cuts short and forbids acts; production has none.
//
// Each Before has its After, on the same goroutine and with the same Op, and no other act of that goroutine comes in between. So a probe may hold a lock from one to the other.
type Probe interface {
	// Before is asked for leave. An error is what the act gives instead of being done. Of a Write, a Before that lowers Len has that many bytes written before its error is
	// given.
	Before(*Op) error
	// After is told what the act gave.
	After(*Op, error)
}

// ErrKilled is the answer of a probe for a process that is dead: nothing that it still tries touches the disk.
var ErrKilled = errors.New("the process is dead")

// do does one act under the probe. Where there is none nothing is allocated, which is why the probe's part stands apart.
func (d *Disk) do(op Op, act func() error) error {
	if d.probe == nil {
		return act()
	}
	return d.watched(op, act)
}

func (d *Disk) watched(op Op, act func() error) error {
	done := d.ask(&op)
	if done == nil {
		done = act()
	}
	switch op.Kind {
	case Rename, RenameNew, Exchange, Remove:
		d.moves.Add(1)
	}
	d.probe.After(&op, done)
	return done
}

// ask asks the probe, and gives its refusal the form of the system's.
func (d *Disk) ask(op *Op) error {
	op.Path = absolute(op.Path)
	if op.To != "" {
		op.To = absolute(op.To)
	}
	err := d.probe.Before(op)
	switch {
	case err == nil:
		return nil
	case op.To != "":
		return &os.LinkError{Op: op.Kind.String(), Old: op.Path, New: op.To, Err: err}
	}
	return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: err}
}

func absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// at says where a name below an open directory stands. Only a probe wants to know.
func (d *Disk) at(fd int, name string) string {
	if d.probe == nil || fd == unix.AT_FDCWD || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(pathOf(fd), name)
}

// pathOf asks the kernel where an open file or directory stands now.
func pathOf(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return ""
	}
	return path
}
