package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// writeReason puts the reason why an item cannot be claimed beside it, for its operator, and reports it. It is written only when it says something new, so that an
// item that stays refused for a month costs nothing.
func (b *Outbox) writeReason(name string, cause error) {
	text := strconv.Quote(name) + " cannot be taken:\n\n" + cause.Error() + "\n\n" + advice(cause) +
		"\nIt is tried again from time to time. This file goes by itself.\n"
	path := b.path(reasonName(name))
	if have, err := b.readSmall(path, len(text)+1); err == nil && string(have) == text {
		return
	}
	b.o.Report(Notice{Kind: NoticeRefused, Name: name, Err: cause})
	if err := b.put(path, text); err != nil {
		b.o.Report(Notice{Kind: NoticeRefused, Name: name, Err: fmt.Errorf("write the reason: %w", err)})
	}
}

// HeldError says why an item that is as it should be is not taken now.
type HeldError struct{ Why error }

func (e *HeldError) Error() string { return e.Why.Error() }
func (e *HeldError) Unwrap() error { return e.Why }

// advice says what an operator can do about a refusal.
func advice(cause error) string {
	if held := (*HeldError)(nil); errors.As(cause, &held) {
		return "Nothing has to be done with it: it is taken as soon as there is room for it. Ask those who run this gateway.\n"
	}
	if errors.Is(cause, os.ErrPermission) {
		return "The daemon may not read or move it. Either give its group the right (chmod -R g+rwX), or have the daemon run with CAP_DAC_OVERRIDE.\n"
	}
	return "Move it out of the outbox, correct this, and move it in again.\n"
}

func (b *Outbox) removeReason(name string) {
	if err := b.o.Disk.Remove(b.path(reasonName(name))); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.o.Report(Notice{Kind: NoticePurge, Name: reasonName(name), Err: err})
	}
}

// put places a text that the operators' group may read. It is made in .ecluse and moved, because in the outbox itself the name may be a link that somebody
// else has put there: a rename replaces a link, and does not follow it. It is durable on return: what fails is never without its reason, also when the power goes.
func (b *Outbox) put(path, text string) error {
	f, err := b.o.Disk.CreateTemp(b.house(), ".reason-*")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	if gid := b.gid(); err == nil && gid >= 0 {
		b.group(f.Name(), gid)
	}
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = b.o.Disk.Rename(f.Name(), path)
	}
	if err != nil {
		_ = b.o.Disk.Remove(f.Name())
		return err
	}
	return b.o.Disk.SyncDir(filepath.Dir(path))
}

// readSmall reads the first bytes of a plain file without following a link or waiting at a pipe.
func (b *Outbox) readSmall(path string, limit int) ([]byte, error) {
	f, err := b.o.Disk.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, os.ErrInvalid)
	}
	text := make([]byte, limit)
	n, err := f.Read(text)
	return text[:n], err
}
