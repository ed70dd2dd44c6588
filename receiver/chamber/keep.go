package chamber

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	Rejected time.Duration // content
	Damaged  time.Duration // what was received of an incomplete bundle
	Rows     time.Duration // records of bundles that have ended
}

// keepEvery is how often the clock is held against Keep.
const keepEvery = time.Minute

// keepAll purges what has stayed long enough, and tries deliveries again.
func (c *Chamber) keepAll() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := c.purge(); err != nil && c.ctx.Err() == nil {
			c.o.Log.Error("purge", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *Chamber) purge() error {
	now := c.o.Now()
	expired, err := c.o.Ledger.Older(c.ctx, ledger.Damaged, now.Add(-c.o.Keep.Damaged))
	for _, id := range expired {
		c.abandon(id, string(bundle.ReasonAbandonedExpired), fmt.Sprintf("incomplete for longer than %v", c.o.Keep.Damaged))
	}
	err = errors.Join(err, c.purgeContent(ledger.Rejected, now.Add(-c.o.Keep.Rejected)))
	if c.o.Keep.Imported > 0 {
		err = errors.Join(err, c.purgeContent(ledger.Imported, now.Add(-c.o.Keep.Imported)))
	}
	if c.o.Keep.Rows > 0 {
		for _, s := range []ledger.State{ledger.Imported, ledger.Rejected, ledger.Abandoned, ledger.Refused} {
			old, e := c.o.Ledger.Older(c.ctx, s, now.Add(-c.o.Keep.Rows))
			err = errors.Join(err, e)
			err = errors.Join(err, c.forget(old))
		}
	}
	return err
}

// forget removes everything that is left of bundles that ended long ago, papers and records.
func (c *Chamber) forget(ids []bundle.ID) error {
	for _, id := range ids {
		r, err := c.o.Ledger.Get(id)
		if err != nil {
			return err
		}
		if err := deliver.Purge(Dir(c.o.State, r.Tenant, id)); err != nil {
			return fmt.Errorf("purge %s: %w", id, err)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	c.o.Log.Info("rows purged", zap.Int("bundles", len(ids)))
	return c.o.Ledger.Purge(c.ctx, ids)
}

// purgeContent removes the content of bundles that ended before a time. Their records stay.
func (c *Chamber) purgeContent(s ledger.State, before time.Time) error {
	old, err := c.o.Ledger.Older(c.ctx, s, before)
	if err != nil {
		return err
	}
	for _, id := range old {
		r, err := c.o.Ledger.Get(id)
		if err != nil {
			return err
		}
		if err := c.removeContent(r); err != nil {
			return err
		}
	}
	return nil
}

// removeContent removes what a bundle holds, and leaves its papers: who signed what can be shown for as long as its row stays.
func (c *Chamber) removeContent(r *ledger.Record) error {
	dir := filepath.Join(Dir(c.o.State, r.Tenant, r.Bundle), quarantine.FilesName)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := deliver.Purge(dir); err != nil {
		return fmt.Errorf("purge the content of %s: %w", r.Bundle, err)
	}
	c.o.Log.Info("content purged", zap.Stringer("bundle", r.Bundle), zap.String("state", string(r.State)))
	return nil
}
