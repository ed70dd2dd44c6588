package dispatch

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"ecluse/sender/ledger"
)

// Durable returns when all that stands in a tenant's outbox is durable under its present names. The ledger's own syncs reach an outbox on the state's file system; one on another is
// synced here: a claim that a power cut took back would be sent a second time, and content that was lost could never be sent again. tenant counts in the order of Options.Tenants.
func (d *Dispatcher) Durable(tenant int) error {
	dir := d.o.Tenants[tenant].Outbox.Dir()
	here, err := d.device(dir)
	if err != nil {
		return err
	}
	state, err := d.device(d.o.Ledger.Dir())
	if err != nil || here == state {
		return err
	}
	if err := d.o.Disk.SyncAll(dir); err != nil {
		return fmt.Errorf("%w: outbox: %w", ledger.ErrFatal, err)
	}
	return nil
}

// device is the number of the file system that holds a path.
func (d *Dispatcher) device(path string) (uint64, error) {
	info, err := d.o.Disk.Lstat(path)
	if err != nil {
		return 0, ownError{err}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, &fs.PathError{Op: "look at", Path: path, Err: errors.ErrUnsupported}
	}
	return st.Dev, nil
}
