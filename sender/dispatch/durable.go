package dispatch

import (
	"fmt"

	"ecluse/sender/ledger"
)

// Durable returns when all that stands in a tenant's outbox is durable under its present names. The ledger's own syncs reach an outbox on the state's file system; one on another is
// synced here: a claim that a power cut took back would be sent a second time, and content that was lost could never be sent again. tenant counts in the order of Options.Tenants.
func (d *Dispatcher) Durable(tenant int) error {
	dir := d.o.Tenants[tenant].Outbox.Dir()
	here, err := d.o.Disk.Device(dir)
	if err != nil {
		return ownError{err}
	}
	state, err := d.o.Disk.Device(d.o.Ledger.Dir())
	if err != nil {
		return ownError{err}
	}
	if here == state {
		return nil
	}
	if err := d.o.Disk.SyncAll(dir); err != nil {
		err = fmt.Errorf("%w: outbox: %w", ledger.ErrFatal, err)
		d.failed(err) // whoever asked, a lane or a command
		return err
	}
	return nil
}
