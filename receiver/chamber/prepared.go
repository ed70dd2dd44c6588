package chamber

import (
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// answerMost is how long the first gate waits for a destination.
const answerMost = time.Second

// answers says whether a destination can be looked at in time. One that hangs, because something was mounted over it, is left to its outlet from then on.
func (c *Chamber) answers(directory string) bool {
	done := make(chan struct{})
	go func() { // ends when the file system does
		if root, err := c.o.Disk.OpenRoot(directory); err == nil {
			root.Close()
		}
		close(done)
	}()
	timer := time.NewTimer(answerMost)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		c.mu.Lock()
		c.byRename[directory] = false
		c.mu.Unlock()
	case <-c.ctx.Done():
	}
	return false
}

// noteTransfer remembers whether a destination took its last delivery by rename. Nothing is prepared for one that did not, or that failed: a destination that hangs must not hold up the first
// gate.
func (c *Chamber) noteTransfer(directory string, r deliver.Result) {
	c.mu.Lock()
	c.byRename[directory] = r.Err == nil && !r.Copied
	c.mu.Unlock()
}

// prepareDelivery makes a bundle, put together in a staging directory, ready for the one destination to which it will be moved as soon as it is in quarantine. It is nil where a person has to release
// it, where it has no such destination, or where something is in the way: that is found, and told, by the delivery.
func (c *Chamber) prepareDelivery(id bundle.ID, signed *quarantine.Signed, dir string) *deliver.Intent {
	tenant := c.o.Tenants[signed.Manifest.Tenant]
	if tenant.Release != release.ModeAutomatic || len(tenant.Destinations) != 1 || len(tenant.Remotes) > 0 || c.o.Keep.Imported > 0 || len(c.chain(signed.Manifest.Tenant)) > 0 || c.closed(tenant.Name) != nil {
		return nil
	}
	to := tenant.Destinations[0]
	c.mu.Lock()
	byRename := c.byRename[to.Directory]
	c.mu.Unlock()
	if !byRename {
		return nil
	}
	if !c.answers(to.Directory) {
		return nil
	}
	job := jobOf(id, signed, dir)
	job.Verified = true
	if intent, ok := deliver.Prepare(c.ctx, c.o.Disk, job, to); ok {
		return &intent
	}
	return nil
}
