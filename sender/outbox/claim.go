package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// Claim moves an item to sending/<id>/. Nothing is synced: after a crash of the machine the item stands in one place or in the other, and both are found
// again, here by the rescan and there by Claimed.
//
// An error that wraps ErrGone says that the item is not there any more. After any other error it stays where it is with the reason beside it, and Watch offers it again
// later; what the operator can do about it stands in the reason.
func (b *Outbox) Claim(c Candidate, id bundle.ID) (Item, error) {
	if !oneName(c.Name) || c.As != "" && !oneName(c.As) || id.IsZero() {
		return Item{}, fmt.Errorf("claim %q as %q: not one name, or no id", c.Name, c.As)
	}
	item, err := b.claim(c, id)
	if err == nil || errors.Is(err, ErrGone) {
		b.removeReason(c.Name)
	} else if !Staged(c.Name) { // what is being sent nobody sees there: whoever sends it gets the answer
		b.writeReason(c.Name, err)
	}
	b.settled(c.Name, err)
	return item, err
}

// oneName tells a name in the outbox from a path, and from our own house.
func oneName(name string) bool {
	return name != "" && name != "." && name != ".." && name != houseName && filepath.Base(name) == name
}

func (b *Outbox) claim(c Candidate, id bundle.ID) (Item, error) {
	item := Item{Tenant: b.o.Tenant, Outbox: b.o.Dir, Name: c.As, ID: id, Class: c.Class}
	if item.Name == "" {
		item.Name = c.Name
	}
	if item.Class == 0 {
		item.Class = bundle.Normal
	}
	if err := b.same(c); err != nil {
		return Item{}, err
	}
	if b.o.Admit != nil {
		if item.Bytes = c.bytes; c.inode == (inode{}) { // nobody has looked at it
			item.Bytes = lookAt(b.o.Disk, b.o.Dir, c.Name, false, true, true, b.o.Now).bytes
		}
		if err := b.o.Admit(item.Bytes); err != nil {
			return Item{}, fmt.Errorf("claim %q: %w", item.Name, err)
		}
	}
	dir := SendingDir(b.o.Dir, id)
	if err := b.o.Disk.Mkdir(dir, 0o700); err != nil {
		return Item{}, fmt.Errorf("claim %q: %w", item.Name, err)
	}
	item.Path = filepath.Join(dir, item.Name)
	if err := b.rename(b.path(c.Name), item.Path); err != nil {
		_ = b.o.Disk.Remove(dir) // an empty one is removed by Claimed at the latest
		if errors.Is(err, os.ErrNotExist) {
			return Item{}, fmt.Errorf("claim %q: %w", item.Name, ErrGone)
		}
		return Item{}, fmt.Errorf("claim %q: %w", item.Name, err)
	}
	// The directory's own time: Claimed gives the same one, should nobody have noted the claim before a crash (M-7).
	item.Created = b.o.Now()
	if info, err := b.o.Disk.Lstat(dir); err == nil {
		item.Created = info.ModTime()
	}
	return item, nil
}

// same holds that what stands there is what was looked at.
func (b *Outbox) same(c Candidate) error {
	var st unix.Stat_t
	if err := b.o.Disk.Fstatat(unix.AT_FDCWD, b.path(c.Name), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("claim %q: %w", c.Name, ErrGone)
		}
		return fmt.Errorf("claim %q: %w", c.Name, err)
	}
	if c.inode != (inode{}) && c.inode != (inode{st.Dev, st.Ino}) {
		return fmt.Errorf("claim %q: %w: another stands in its place", c.Name, ErrGone)
	}
	return nil
}

// settled tells Watch what became of a candidate.
func (b *Outbox) settled(name string, err error) {
	b.mu.Lock()
	b.outcomes = append(b.outcomes, outcome{name, err})
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// rename moves without replacing. Where the file system does not know how (NFS), it is done by a plain rename: every destination here is a new
// directory of our own.
func (b *Outbox) rename(from, to string) error { return rename(b.o.Disk, from, to) }

func rename(d *disk.Disk, from, to string) error {
	err := d.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if _, missing := d.Lstat(to); !errors.Is(missing, os.ErrNotExist) {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: os.ErrExist}
		}
		return d.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Claimed lists what an earlier life has claimed and not put away, and removes what it left empty.
func (b *Outbox) Claimed() ([]Item, error) {
	entries, err := b.o.Disk.List(b.house(sendingName))
	if err != nil {
		return nil, fmt.Errorf("list what is claimed: %w", err)
	}
	var items []Item
	for _, e := range entries {
		dir := b.house(sendingName, e.Name())
		id, err := bundle.ParseID(e.Name())
		if err != nil || !e.IsDir() {
			b.o.Report(Notice{Kind: NoticeStray, Name: dir})
			continue
		}
		item, ok, err := b.claimedIn(dir, id)
		if err != nil {
			return nil, fmt.Errorf("list what is claimed: %w", err)
		}
		if ok {
			items = append(items, item)
		}
	}
	return items, nil
}

// claimedIn reads one sending/<id>/, which holds one item or, after a crash in the middle of a claim, none.
func (b *Outbox) claimedIn(dir string, id bundle.ID) (item Item, ok bool, err error) {
	names, err := b.o.Disk.List(dir)
	if err != nil {
		return Item{}, false, err
	}
	if len(names) == 0 {
		return Item{}, false, b.o.Disk.Remove(dir)
	}
	for _, stray := range names[1:] {
		b.o.Report(Notice{Kind: NoticeStray, Name: filepath.Join(dir, stray.Name())})
	}
	info, err := b.o.Disk.Lstat(dir)
	if err != nil {
		return Item{}, false, err
	}
	name := names[0].Name()
	return Item{
		Tenant: b.o.Tenant, Outbox: b.o.Dir, Name: name, ID: id, Class: bundle.Normal, Created: info.ModTime(), Path: filepath.Join(dir, name),
	}, true, nil
}
