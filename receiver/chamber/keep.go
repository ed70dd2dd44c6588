package chamber

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// Keep says how long things stay.
type Keep struct {
	Imported time.Duration // content, after its delivery; 0: it is moved away by it
	Rejected time.Duration // content, also of what was refused after it was in quarantine
	Damaged  time.Duration // what was received of an incomplete bundle
	Rows     time.Duration // records of bundles that have ended
}

// keepEvery is how often the clock is held against Keep.
const keepEvery = time.Minute

// leftoversEvery is after how many times of that destinations are looked through for what attempts to deliver have left.
const leftoversEvery = 60

// due is content in quarantine whose bundle has ended.
type due struct {
	tenant bundle.Name
	state  ledger.State
	since  time.Time
}

// keepAll purges what has stayed long enough. What an earlier life left in quarantine is found on the disk, once: the records of what is purged stay for long, and
// say no more whether there is content.
func (c *Chamber) keepAll() {
	select {
	case <-c.settled: // or what an earlier life left in quarantine, and is about to take back, would look like nobody's
	case <-c.ctx.Done():
		return
	}
	if err := c.findContent(); err != nil && c.ctx.Err() == nil {
		c.o.Log.Error("look through the quarantine", zap.Error(err))
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%leftoversEvery == 0 {
			c.clearLeftovers()
		}
		c.forgetFresh()
		if err := c.purge(); err != nil && c.ctx.Err() == nil {
			c.o.Log.Error("purge what has stayed long enough", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
	}
}

// keepUntil notes that a bundle has ended whose content may stand in quarantine. Where nothing is to be kept it is removed at once.
func (c *Chamber) keepUntil(r *ledger.Record, since time.Time) {
	d := due{r.Tenant, r.State, since}
	if d.state == ledger.Imported && c.o.Keep.Imported == 0 {
		if err := c.removeContent(r.Bundle, d); err == nil {
			return
		} else {
			c.o.Log.Error("remove content from quarantine", zap.Stringer("bundle", r.Bundle), zap.Error(err))
		}
	}
	c.mu.Lock()
	c.due[r.Bundle] = d
	c.mu.Unlock()
}

// clearLeftovers removes from destinations what imported bundles have left there: what a delivery had replaced, and could not be removed. Of others the next attempt looks after that, or who
// ended them.
func (c *Chamber) clearLeftovers() {
	for _, t := range c.o.Tenants {
		for _, d := range t.Destinations {
			left, err := deliver.Leftovers(c.o.Disk, d.Directory)
			for _, l := range left {
				r, e := c.o.Ledger.Get(l.Bundle)
				if c.ctx.Err() != nil || e != nil || r.Tenant != t.Name || r.State != ledger.Imported || r.Name == nil || !l.Of(*r.Name) {
					continue
				}
				if e := deliver.Discard(c.o.Disk, d.Directory, *r.Name, r.Bundle); e != nil {
					err = errors.Join(err, e)
					continue
				}
				c.o.Log.Info("removed what a delivery had left", zap.Stringer("bundle", r.Bundle), zap.String("at", d.Directory))
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && c.ctx.Err() == nil {
				c.o.Log.Error("look for what deliveries have left", zap.String("destination", d.Directory), zap.Error(err))
			}
		}
	}
}

// gone marks what is on its way out of quarantine.
const gone = ".gone"

// findContent looks through the quarantine for what has ended and still has content, and for what is not on record at all: moved there when the process was killed.
func (c *Chamber) findContent() error {
	root := filepath.Join(c.o.State, "quarantine")
	tenants, err := c.o.Disk.List(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, t := range tenants {
		entries, failed := c.o.Disk.List(filepath.Join(root, t.Name()))
		err = errors.Join(err, failed)
		for _, e := range entries {
			if c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			err = errors.Join(err, c.findOne(bundle.Name(t.Name()), e.Name()))
		}
	}
	return err
}

func (c *Chamber) findOne(tenant bundle.Name, name string) error {
	dir := filepath.Join(c.o.State, "quarantine", string(tenant), name)
	if strings.HasSuffix(name, gone) {
		return deliver.Purge(c.o.Disk, dir)
	}
	id, err := bundle.ParseID(name)
	if err != nil {
		return nil // not ours
	}
	if _, err := c.o.Disk.Lstat(filepath.Join(dir, quarantine.FilesName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r, err := c.o.Ledger.Get(id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return c.removeOrphan(id, dir)
	case err != nil:
		return err
	case r.State.Ended():
		c.keepUntil(r, r.Changed)
	}
	return nil
}

// removeOrphan removes what nobody knows. It is taken out of the way within a change of the ledger, so that nothing can come to be known meanwhile.
func (c *Chamber) removeOrphan(id bundle.ID, dir string) error {
	err := c.change(id, func(r *ledger.Record) error {
		if r.State != "" {
			return errOver
		}
		return errors.Join(c.o.Disk.Rename(dir, dir+gone), errOver)
	})
	if !errors.Is(err, errOver) {
		return err
	}
	if _, err := c.o.Disk.Lstat(dir + gone); err == nil {
		c.o.Log.Warn("removed from quarantine what was never put on record", zap.Stringer("bundle", id))
	}
	return deliver.Purge(c.o.Disk, dir+gone)
}

func (c *Chamber) purge() error {
	c.purging.Lock()
	defer c.purging.Unlock()
	now := c.o.Aged()
	expired, err := c.o.Ledger.Older(c.ctx, ledger.Damaged, now.Add(-c.o.Keep.Damaged))
	for _, id := range expired {
		c.abandon(id, bundle.ReasonAbandonedExpired, fmt.Sprintf("incomplete for longer than %v", c.o.Keep.Damaged), ledger.Damaged)
	}
	err = errors.Join(err, c.purgeContent(now))
	if c.o.Keep.Rows > 0 {
		before := now.Add(-c.o.Keep.Rows)
		if c.o.Purgeable != nil {
			before = c.o.Purgeable(before, max(c.o.Keep.Imported, c.o.Keep.Rejected))
		}
		for _, s := range []ledger.State{ledger.Imported, ledger.Rejected, ledger.Abandoned, ledger.Refused} {
			old, e := c.o.Ledger.Older(c.ctx, s, before)
			err = errors.Join(err, e, c.forget(old))
		}
	}
	return err
}

// forget removes everything that is left of bundles that ended long ago, papers and records.
func (c *Chamber) forget(ids []bundle.ID) (failed error) {
	var cleared []bundle.ID
	for _, id := range ids {
		r, err := c.o.Ledger.Get(id)
		if err == nil && c.owed(r) { // nobody else knows what is to be taken back there
			continue
		}
		if err == nil {
			err = deliver.Purge(c.o.Disk, Dir(c.o.State, r.Tenant, id))
		}
		if err != nil && !errors.Is(err, ledger.ErrNotFound) { // an earlier purge was cut short: its row has to go
			failed = errors.Join(failed, fmt.Errorf("purge %s: %w", id, err))
			continue
		}
		cleared = append(cleared, id)
	}
	if len(cleared) == 0 {
		return failed
	}
	if err := c.o.Ledger.Purge(c.ctx, cleared); err != nil {
		c.posted(err)
		return errors.Join(failed, err)
	}
	c.mu.Lock()
	for _, id := range cleared {
		delete(c.due, id)
		delete(c.unseen, id)
	}
	c.mu.Unlock()
	c.o.Log.Info("rows purged", zap.Int("bundles", len(cleared)))
	return failed
}

// purgeContent removes the content of bundles that ended long enough ago. Their records stay.
func (c *Chamber) purgeContent(now time.Time) (failed error) {
	old := make(map[bundle.ID]due)
	c.mu.Lock()
	for id, d := range c.due {
		keep := c.o.Keep.Rejected
		if d.state == ledger.Imported {
			keep = c.o.Keep.Imported
		}
		if !now.Before(d.since.Add(keep)) {
			old[id] = d
		}
	}
	c.mu.Unlock()
	for id, d := range old {
		if err := c.removeContent(id, d); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		c.mu.Lock()
		delete(c.due, id)
		c.mu.Unlock()
	}
	return failed
}

// removeContent removes what a bundle holds, and leaves its papers: who signed what can be shown for as long as its row stays.
func (c *Chamber) removeContent(id bundle.ID, d due) error {
	dir := filepath.Join(Dir(c.o.State, d.tenant, id), quarantine.FilesName)
	if _, err := c.o.Disk.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := deliver.Purge(c.o.Disk, dir); err != nil {
		return fmt.Errorf("purge the content of %s: %w", id, err)
	}
	c.o.Log.Info("content purged", zap.Stringer("bundle", id), zap.String("state", string(d.state)))
	return nil
}
