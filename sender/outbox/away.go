package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// Sent puts an item away into sent/<sequence>/: the directory that it has in sending/ becomes that. It may be called again after a crash. What is kept for a time is kept from when on. Sequences begin anew with every epoch: what an
// earlier epoch has left under the same number makes room and becomes <sequence>~1, <sequence>~2 ..., the highest being the latest.
func (b *Outbox) Sent(item Item, sequence uint64, when time.Time) error {
	from, dir := SendingDir(b.o.Dir, item.ID), b.sentDir(sequence)
	switch here, there := b.exists(b.sendingPath(item)), b.exists(filepath.Join(dir, item.Name)); {
	case !here && there:
		return b.leave(item) // done before, by a program that left the directory empty
	case !here:
		return fmt.Errorf("put away what was sent as %d: %q is not in %s: %w", sequence, item.Name, from, ErrGone)
	}
	err := b.o.Disk.Chtimes(from, time.Time{}, when)
	if errors.Is(err, os.ErrPermission) { // another user's, of an earlier installation: it is kept from its claim on
		err = nil
	}
	if err == nil {
		err = b.rename(from, dir)
	}
	if errors.Is(err, os.ErrExist) {
		if err = b.makeRoom(dir); err == nil {
			err = b.rename(from, dir)
		}
	}
	if err != nil {
		return fmt.Errorf("put away what was sent as %d: %w", sequence, err)
	}
	return nil
}

// makeRoom takes away a directory that is empty, and moves one that is not to the next free number behind it.
func (b *Outbox) makeRoom(dir string) error {
	if b.o.Disk.Remove(dir) == nil {
		return nil
	}
	for n := 1; ; n++ {
		err := b.rename(dir, dir+"~"+strconv.Itoa(n))
		if !errors.Is(err, os.ErrExist) {
			return err
		}
	}
}

// SentPath says where an item stands that was sent in the present epoch; ok is false when it is not there any more.
func (b *Outbox) SentPath(sequence uint64, name string) (path string, ok bool) {
	path = filepath.Join(b.sentDir(sequence), name)
	return path, filepath.Base(name) == name && b.exists(path)
}

// Clear removes an item from sent/ of which a receipt said that it is safe. It may be called again. An item that was never put away stays: what stands under its number then is
// an earlier epoch's.
func (b *Outbox) Clear(item Item, sequence uint64) error {
	if b.exists(b.sendingPath(item)) {
		return nil
	}
	if _, ok := b.SentPath(sequence, item.Name); !ok {
		return nil
	}
	gone := b.house(sentName, partial+strconv.FormatUint(sequence, 10))
	b.remove(gone) // what an earlier removal has left
	if err := b.o.Disk.Rename(b.sentDir(sequence), gone); err != nil {
		return fmt.Errorf("clear %d from sent: %w", sequence, err)
	}
	b.remove(gone)
	return nil
}

func (b *Outbox) sentDir(sequence uint64) string {
	return SentDir(b.o.Dir, sequence)
}

// Failed puts an item away into failed/<id>/, with the reason in REASON.txt beside it, where its operators may read both. It may be called again after a crash.
func (b *Outbox) Failed(item Item, reason string) error {
	dir := b.house(failedName, item.ID.String())
	if err := b.o.Disk.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("put away what failed: %w", err)
	}
	if gid := b.gid(); gid >= 0 {
		b.group(dir, gid)
	}
	b.mode(dir, 0o750)
	text := fmt.Sprintf("%q was not sent.\n\n%s\n\nIt stands beside this file, as it was. Correct this and drop it again.\nBundle %s, given up at %s.\n",
		item.Name, reason, item.ID, b.o.Now().UTC().Format(time.RFC3339))
	if err := b.put(filepath.Join(dir, reasonFor(item.Name)), text); err != nil {
		return fmt.Errorf("put away what failed: %w", err)
	}
	from, to := b.sendingPath(item), filepath.Join(dir, item.Name)
	if err := b.rename(from, to); err != nil && !(errors.Is(err, os.ErrNotExist) && b.exists(to)) {
		return fmt.Errorf("put away what failed: %w", err)
	}
	return b.leave(item)
}

// seen is what the name of a directory in failed/ ends in after somebody has looked at it.
const seen = "~seen"

// Dismiss notes that somebody has looked at what failed: it stays as long as it would have, in failed/<id>~seen/, and Unseen does not count it. ErrGone: it is not there. It may be
// called again.
func (b *Outbox) Dismiss(id bundle.ID) error {
	path := b.house(failedName, id.String())
	if b.exists(path + seen) {
		return nil
	}
	err := b.o.Disk.Rename(path, path+seen)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %s", ErrGone, path)
	}
	if err != nil {
		return fmt.Errorf("dismiss what failed: %w", err)
	}
	return nil
}

// Unseen says whether anything stands in the failed/ of an outbox that nobody has looked at.
func Unseen(d *disk.Disk, outbox string) bool {
	entries, err := d.List(filepath.Join(outbox, houseName, failedName))
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !strings.HasSuffix(e.Name(), seen) })
}

// SendingDir is where an item stands from its claim to its end, of an outbox that nobody needs to have open.
func SendingDir(outbox string, id bundle.ID) string {
	return filepath.Join(outbox, houseName, sendingName, id.String())
}

// SentDir is where an item stands that was sent in the present epoch.
func SentDir(outbox string, sequence uint64) string {
	return filepath.Join(outbox, houseName, sentName, strconv.FormatUint(sequence, 10))
}

// FailedDir is where an item stands that has failed.
func FailedDir(d *disk.Disk, outbox string, id bundle.ID) string {
	path := filepath.Join(outbox, houseName, failedName, id.String())
	if _, err := d.Lstat(path + seen); err == nil {
		return path + seen
	}
	return path
}

// reasonFor is REASON.txt, but for an item of that name.
func reasonFor(name string) string {
	if name == reasonFile {
		return "REASON~1.txt"
	}
	return reasonFile
}

func (b *Outbox) sendingPath(item Item) string {
	return filepath.Join(SendingDir(b.o.Dir, item.ID), item.Name)
}

// leave removes the empty sending/<id>/.
func (b *Outbox) leave(item Item) error {
	err := b.o.Disk.Remove(SendingDir(b.o.Dir, item.ID))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("leave sending: %w", err)
	}
	return nil
}

func (b *Outbox) exists(path string) bool {
	_, err := b.o.Disk.Lstat(path)
	return err == nil
}

// Kept is a thing in sent/ or failed/ that may be purged.
type Kept struct {
	Path     string    // its directory
	Names    []string  // what it holds
	Sequence uint64    // of what was sent; 0 for what failed
	Earlier  bool      // it was sent in an earlier epoch
	ID       bundle.ID // of what failed
	Since    time.Time // when it was put away
}

// partial marks what is being removed, so that a purge that was cut short is never taken for something kept.
const partial = ".purge-"

// PurgeSent removes what was put into sent/ before a time, after purge has been told of each and has said yes; this is where a warning names what was never
// confirmed. What cannot be removed is reported and stays.
func (b *Outbox) PurgeSent(before time.Time, purge func(Kept) bool) error {
	return b.purge(sentName, before, purge, func(name string, k *Kept) bool {
		number, earlier, found := strings.Cut(name, "~")
		sequence, err := strconv.ParseUint(number, 10, 64)
		if err != nil || found && earlier == "" {
			return false
		}
		k.Sequence, k.Earlier = sequence, found
		return true
	})
}

// PurgeFailed is PurgeSent for failed/.
func (b *Outbox) PurgeFailed(before time.Time, purge func(Kept) bool) error {
	return b.purge(failedName, before, purge, func(name string, k *Kept) bool {
		var err error
		k.ID, err = bundle.ParseID(strings.TrimSuffix(name, seen))
		return err == nil
	})
}

func (b *Outbox) purge(place string, before time.Time, purge func(Kept) bool, parse func(string, *Kept) bool) error {
	entries, err := b.o.Disk.List(b.house(place))
	if err != nil {
		return fmt.Errorf("purge %s: %w", place, err)
	}
	for _, e := range entries {
		path := b.house(place, e.Name())
		if strings.HasPrefix(e.Name(), partial) {
			b.remove(path)
			continue
		}
		k := Kept{Path: path}
		if !e.IsDir() || !parse(e.Name(), &k) {
			b.o.Report(Notice{Kind: NoticeStray, Name: path})
			continue
		}
		info, err := b.o.Disk.Lstat(path)
		if err != nil || !info.ModTime().Before(before) {
			continue
		}
		k.Since, k.Names = info.ModTime(), b.namesIn(path)
		if purge(k) {
			gone := b.house(place, partial+e.Name())
			if err := b.o.Disk.Rename(path, gone); err != nil {
				b.o.Report(Notice{Kind: NoticePurge, Name: path, Err: err})
				continue
			}
			b.remove(gone)
		}
	}
	return nil
}

// remove removes a tree. os.RemoveAll goes by open directories and follows no link, whatever an operator does in it meanwhile.
func (b *Outbox) remove(path string) {
	if err := b.o.Disk.RemoveAll(path); err != nil {
		b.o.Report(Notice{Kind: NoticePurge, Name: path, Err: err})
	}
}

// namesIn lists what a kept directory holds, but for the reason.
func (b *Outbox) namesIn(dir string) (names []string) {
	entries, err := b.o.Disk.List(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.Name() != reasonFile || len(entries) == 1 {
			names = append(names, e.Name())
		}
	}
	return names
}
