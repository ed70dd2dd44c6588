package chamber

import (
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// seemsNear remembers whether what goes to a destination is moved there. Until that was so once nothing is made ready for it: a destination that hangs must not hold up the first gate.
func (c *Chamber) seemsNear(directory string, r deliver.Result) {
	if r.Err != nil {
		return
	}
	c.mu.Lock()
	c.near[directory] = !r.Copied
	c.mu.Unlock()
}

// makeReady makes a bundle, put together in a staging directory, ready for the one destination to which it will be moved as soon as it is in quarantine. It is nil where a person has to release
// it, where it has no such destination, or where something is in the way: that is found, and told, by the delivery.
func (c *Chamber) makeReady(id bundle.ID, signed *quarantine.Signed, dir string) *deliver.Intent {
	tenant := c.o.Tenants[signed.Manifest.Tenant]
	if tenant.Release != release.ModeAutomatic || len(tenant.Destinations) != 1 || c.o.Keep.Imported > 0 {
		return nil
	}
	to := tenant.Destinations[0]
	c.mu.Lock()
	near := c.near[to.Directory]
	c.mu.Unlock()
	if !near {
		return nil
	}
	job := jobOf(id, signed, dir)
	job.Verified = true
	if intent, ok := deliver.Ready(c.ctx, c.o.Disk, job, to); ok {
		return &intent
	}
	return nil
}
