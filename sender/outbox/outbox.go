package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// The defaults of Options.
const (
	DefaultSettle = 2 * time.Second
	DefaultBlind  = time.Minute
	DefaultRescan = 10 * time.Second
)

// The places below an outbox.
const (
	houseName   = ".ecluse"
	sendingName = "sending"
	sentName    = "sent"
	failedName  = "failed"
	reasonFile  = "REASON.txt"
)

// Options of an Outbox. Disk, Dir and Tenant are required.
type Options struct {
	Disk   *disk.Disk
	Dir    string
	Tenant bundle.Name
	Settle time.Duration // how long what was not moved here must stand still; 0 is DefaultSettle
	Blind  time.Duration // the same where leases do not work; 0 is DefaultBlind
	Rescan time.Duration // between two readings of the whole listing; 0 is DefaultRescan
	Now    func() time.Time
	// Unwatched says that inotify is not to be used: the outbox is read at intervals only.
	Unwatched bool
	// Admit is asked before an item of so many bytes is claimed; an error keeps it where it is, with the reason beside it. nil: all are.
	Admit  func(bytes int64) error
	Report func(Notice) // called from any goroutine, must not wait; may be nil
}

// Notice is something that the operator of the daemon should know and that stops nothing.
type Notice struct {
	Kind NoticeKind
	Name string // the item or the place, as it is: quote it before showing it
	Err  error
}

// NoticeKind says what a Notice is about, in words for a log.
type NoticeKind string

// The kinds of notice.
const (
	NoticeMode     NoticeKind = "a mode or group could not be set"
	NoticeNoLeases NoticeKind = "writers cannot be seen here: what is not moved in waits longer"
	NoticeNoWatch  NoticeKind = "inotify does not work here: the outbox is read at intervals only"
	NoticeGone     NoticeKind = "the outbox is gone"
	NoticeUnread   NoticeKind = "the outbox cannot be read: nothing of it is taken"
	NoticeBack     NoticeKind = "the outbox is back"
	NoticeOverflow NoticeKind = "inotify lost events: the outbox is read afresh"
	NoticeRefused  NoticeKind = "an item cannot be claimed"
	NoticeFull     NoticeKind = "more items than are followed at once: the others wait"
	NoticePurge    NoticeKind = "a thing that is over could not be removed"
	NoticeLeft     NoticeKind = "what a send that was broken off has left is removed"
	NoticeStray    NoticeKind = "a thing that does not belong here"
)

// Candidate is an item that is whole and may be claimed. Watch makes them; a caller that has its own word for an item being whole may make one from a Name.
type Candidate struct {
	Name  string       // in the outbox
	As    string       // the name under which it travels; "" for Name
	Class bundle.Class // 0 for Normal

	bytes int64 // of all its files, when it was looked at
	inode inode // of what was looked at; zero for whatever stands there
}

// Item is a claimed item.
type Item struct {
	Tenant  bundle.Name
	Outbox  string
	Name    string
	ID      bundle.ID
	Class   bundle.Class
	Created time.Time // when it was claimed
	Path    string    // <outbox>/.ecluse/sending/<id>/<name>
	Bytes   int64     // of all its files when it was claimed; 0 where nobody asked for that (Options.Admit), or an earlier life has claimed it
}

// Outbox is one tenant's directory. Its methods may be called from several goroutines; Watch runs once at a time.
type Outbox struct {
	o     Options
	blind bool // leases do not work here

	mu       sync.Mutex
	outcomes []outcome     // of claims, for Watch
	wake     chan struct{} // there are outcomes
}

// outcome is what became of a candidate.
type outcome struct {
	name string
	err  error // nil or ErrGone: it is out of the listing, as far as we know
}

// ErrGone is returned by Claim when the item is not there any more: an operator took it back, or put another in its place.
var ErrGone = errors.New("the item is gone")

// Open prepares an outbox: the directory itself if it is missing, and the places in it. A mode that cannot be set is reported; an .ecluse
// that belongs to somebody else is an error, since whoever owns it decides what is sent.
func Open(o Options) (*Outbox, error) {
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	if o.Blind == 0 {
		o.Blind = DefaultBlind
	}
	if o.Rescan == 0 {
		o.Rescan = DefaultRescan
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(Notice) {}
	}
	o.Blind = max(o.Blind, o.Settle)
	b := &Outbox{o: o, wake: make(chan struct{}, 1)}
	if err := o.Disk.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	if err := b.prepare(); err != nil {
		return nil, fmt.Errorf("open outbox %s: %w", o.Dir, err)
	}
	if err := leasesWork(o.Disk, b.path(houseName)); err != nil {
		b.blind = true
		o.Report(Notice{Kind: NoticeNoLeases, Name: o.Dir, Err: err})
	}
	return b, nil
}

// Dir is the outbox's directory.
func (b *Outbox) Dir() string { return b.o.Dir }

func (b *Outbox) path(names ...string) string {
	return filepath.Join(append([]string{b.o.Dir}, names...)...)
}

func (b *Outbox) house(names ...string) string {
	return b.path(append([]string{houseName}, names...)...)
}

// prepare makes the places below the outbox, and sets their modes. Operators share the outbox by its group; the sticky bit keeps each from another's items, and all
// from .ecluse, which is the daemon's.
func (b *Outbox) prepare() error {
	var top unix.Stat_t
	if err := b.o.Disk.Fstatat(unix.AT_FDCWD, b.o.Dir, &top, 0); err != nil {
		return &os.PathError{Op: "stat", Path: b.o.Dir, Err: err}
	}
	if top.Mode&unix.S_IFMT != unix.S_IFDIR {
		return errors.New("not a directory")
	}
	if int(top.Uid) == os.Geteuid() {
		b.mode(b.o.Dir, 0o3770)
	}
	for _, place := range []struct {
		name string
		mode uint32
	}{{"", 0o750}, {sendingName, 0o700}, {sentName, 0o700}, {failedName, 0o750}} {
		if err := b.place(b.house(place.name), place.mode, &top); err != nil {
			return err
		}
	}
	return nil
}

// place makes one directory of ours, or takes the one that is there if it is ours.
func (b *Outbox) place(dir string, mode uint32, top *unix.Stat_t) error {
	if err := b.o.Disk.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := b.o.Disk.Fstatat(unix.AT_FDCWD, dir, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s is not a directory: move it away", dir)
	}
	if int(st.Uid) != os.Geteuid() && st.Uid != top.Uid {
		return fmt.Errorf("%s belongs to uid %d, not to the daemon: move it away", dir, st.Uid)
	}
	if mode&0o070 != 0 {
		b.group(dir, int(top.Gid))
	}
	b.mode(dir, mode)
	return nil
}

// mode sets a mode where it is another one.
func (b *Outbox) mode(path string, mode uint32) {
	var st unix.Stat_t
	err := b.o.Disk.Fstatat(unix.AT_FDCWD, path, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&0o7777 != mode {
		if err = b.o.Disk.Chmod(path, fileMode(mode)); err == nil {
			err = b.o.Disk.Fstatat(unix.AT_FDCWD, path, &st, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err == nil && st.Mode&0o7777 != mode { // the kernel drops setgid silently where the group is not one of ours
			err = fmt.Errorf("the mode is %04o, not %04o: the daemon is not in the group %d", st.Mode&0o7777, mode, st.Gid)
		}
	}
	if err != nil {
		b.o.Report(Notice{Kind: NoticeMode, Name: path, Err: err})
	}
}

// fileMode says a mode in Go's words.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	if mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// group gives a thing that operators may read to their group, which is that of the outbox.
func (b *Outbox) group(path string, gid int) {
	var st unix.Stat_t
	err := b.o.Disk.Fstatat(unix.AT_FDCWD, path, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && int(st.Gid) != gid {
		err = b.o.Disk.Lchown(path, -1, gid)
	}
	if err != nil {
		b.o.Report(Notice{Kind: NoticeMode, Name: path, Err: err})
	}
}

// gid is the outbox's group, or -1.
func (b *Outbox) gid() int {
	var st unix.Stat_t
	if b.o.Disk.Fstatat(unix.AT_FDCWD, b.o.Dir, &st, 0) != nil {
		return -1
	}
	return int(st.Gid)
}
