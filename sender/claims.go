package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// claimedMost bounds the items that are claimed and not sent, of all tenants: each takes memory. What is above it waits in its outbox.
const claimedMost = 20_000

// newID draws a bundle's id.
func newID() (id bundle.ID) {
	_, _ = rand.Read(id[:])
	return id
}

// claim takes what one outbox offers, until ctx ends.
func (d *daemon) claim(ctx context.Context, i int) {
	found := make(chan outbox.Candidate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.outboxes[i].Watch(ctx, found)
	}()
	for {
		select {
		case c := <-found:
			if _, err := d.take(i, c); err != nil && !errors.Is(err, outbox.ErrGone) {
				d.report(d.c.Tenants[i].Name, outbox.Notice{Kind: outbox.NoticeRefused, Name: c.Name, Err: err})
			}
		case <-done:
			return
		}
		d.room(ctx)
	}
}

// room waits until there is room for another claimed item.
func (d *daemon) room(ctx context.Context) {
	for ctx.Err() == nil {
		if n, _ := d.dispatch.Waiting(); n < claimedMost {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// take claims one item and has it sent.
func (d *daemon) take(i int, c outbox.Candidate) (bundle.ID, error) {
	id := newID()
	item, err := d.outboxes[i].Claim(c, id)
	if err != nil {
		return id, err
	}
	d.log.Info("claimed", zap.Stringer("bundle", id), zap.String("tenant", string(item.Tenant)), zap.String("name", item.Name), zap.Stringer("priority", item.Class))
	return id, d.dispatch.Submit(item)
}

// resume goes on with what an earlier life had claimed, and with repairs that it was asked for.
func (d *daemon) resume(ctx context.Context) error {
	records, err := d.ledger.Unfinished(ctx)
	if err != nil {
		return err
	}
	open := make(map[bundle.ID]*ledger.Record, len(records))
	for _, r := range records {
		open[r.Bundle] = r
	}
	for _, b := range d.outboxes {
		items, err := b.Claimed()
		if err != nil {
			return err
		}
		for _, item := range items {
			r, err := d.ledger.Get(item.ID)
			if err != nil && !errors.Is(err, ledger.ErrNotFound) {
				return err
			}
			if err := d.dispatch.Resume(item, r); err != nil {
				return fmt.Errorf("take up %s again: %w", item.Path, err)
			}
			delete(open, item.ID)
		}
	}
	for id := range open {
		if err := d.dispatch.Reopen(ctx, id); err != nil {
			d.log.Error("take up again", zap.Stringer("bundle", id), zap.Error(err))
		}
	}
	return nil
}

// keepEvery is how often the clock is held against keep:.
const keepEvery = time.Minute

// keep purges what has stayed long enough.
func (d *daemon) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := d.purge(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("purge", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *daemon) purge(ctx context.Context) error {
	now := time.Now()
	var errs []error
	for i, b := range d.outboxes {
		tenant := d.c.Tenants[i].Name
		errs = append(errs, b.PurgeSent(now.Add(-d.c.Keep.Sent.Std()), func(k outbox.Kept) bool {
			d.log.Warn("purging what was sent and never confirmed", zap.String("tenant", tenant), zap.Uint64("sequence", k.Sequence), zap.Strings("names", k.Names), zap.Time("sent", k.Since))
			return true
		}))
		errs = append(errs, b.PurgeFailed(now.Add(-d.c.Keep.Failed.Std()), func(k outbox.Kept) bool {
			d.log.Warn("purging what failed", zap.String("tenant", tenant), zap.Stringer("bundle", k.ID), zap.Strings("names", k.Names), zap.Time("failed", k.Since))
			return true
		}))
	}
	for _, s := range []ledger.State{ledger.Sent, ledger.Confirmed, ledger.Failed} {
		old, err := d.ledger.Older(ctx, s, now.Add(-d.c.Keep.Rows.Std()))
		errs = append(errs, err)
		if len(old) > 0 {
			errs = append(errs, d.ledger.Purge(ctx, old))
		}
	}
	return errors.Join(errs...)
}
