package house

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// claimedMost bounds the items that are claimed and not sent, of all tenants: each takes memory. What is above it waits in its outbox. But no tenant waits for others while it has less than its
// share of half of them, so all can come to one and a half times that.
const claimedMost = 20_000

// mayClaim says whether a tenant with so many of all that are claimed may have another one.
func mayClaim(of, all, tenants int) bool {
	return all < claimedMost || of < claimedMost/2/tenants
}

// newID draws a bundle's id.
func newID() (id bundle.ID) {
	_, _ = rand.Read(id[:])
	return id
}

// claim takes what one outbox offers, until ctx ends.
func (h *House) claim(ctx context.Context, i int) {
	found := make(chan outbox.Candidate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Outboxes[i].Watch(ctx, found)
	}()
	for h.room(ctx, i); ; h.room(ctx, i) {
		select {
		case c := <-found:
			if h.room(ctx, i); ctx.Err() != nil { // somebody has stopped it while nothing was there
				continue
			}
			if _, err := h.Take(i, c); err != nil && !errors.Is(err, outbox.ErrGone) {
				h.o.Report(h.o.Tenants[i].Name, outbox.Notice{Kind: outbox.NoticeRefused, Name: c.Name, Err: err})
			}
		case <-done:
			return
		}
	}
}

// room waits until there is room for another claimed item, and its tenant is not stopped.
func (h *House) room(ctx context.Context, i int) {
	for ctx.Err() == nil {
		if of, all := h.Dispatch.Held(i); mayClaim(of, all, len(h.o.Tenants)) && h.Dispatch.Halted(i) == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Take claims one item and has it sent.
func (h *House) Take(i int, c outbox.Candidate) (bundle.ID, error) {
	id := newID()
	item, err := h.claimOne(i, c, id)
	if err != nil {
		return id, err
	}
	h.o.Log.Info("claimed", zap.Stringer("bundle", id), zap.String("tenant", string(item.Tenant)), zap.String("name", item.Name), zap.Stringer("priority", item.Class))
	return id, h.Dispatch.Submit(item)
}

// claimOne claims an item of a tenant, and counts it before the next one is asked about.
func (h *House) claimOne(i int, c outbox.Candidate, id bundle.ID) (outbox.Item, error) {
	h.taking[i].Lock()
	defer h.taking[i].Unlock()
	item, err := h.Outboxes[i].Claim(c, id)
	if err == nil {
		h.flights.add(id, item.Tenant, item.Bytes, h.Now())
	}
	return item, err
}

// resume goes on with what an earlier life had claimed, and with repairs that it was asked for.
func (h *House) resume(ctx context.Context) error {
	records, err := h.Ledger.Unfinished(ctx)
	if err != nil {
		return err
	}
	open := make(map[bundle.ID]*ledger.Record, len(records))
	for _, r := range records {
		open[r.Bundle] = r
		if r.Bytes != nil {
			h.flights.add(r.Bundle, r.Tenant, *r.Bytes, h.Now())
		}
	}
	for _, b := range h.Outboxes {
		items, err := b.Claimed()
		if err != nil {
			return err
		}
		for _, item := range items {
			r, err := h.Ledger.Get(item.ID)
			if err != nil && !errors.Is(err, ledger.ErrNotFound) {
				return err
			}
			if err := h.Dispatch.Resume(item, r); err != nil {
				return fmt.Errorf("take up %s again: %w", item.Path, err)
			}
			delete(open, item.ID)
		}
	}
	for id, r := range open {
		if !slices.ContainsFunc(h.o.Tenants, func(t Tenant) bool { return t.Name == r.Tenant }) {
			h.o.Log.Error("its tenant is not configured any more: it waits", zap.Stringer("bundle", id), zap.String("tenant", string(r.Tenant)), zap.String("name", r.Name))
			if !slices.Contains(h.Orphans, string(r.Tenant)) {
				h.Orphans = append(h.Orphans, string(r.Tenant))
			}
			continue
		}
		if err := h.Dispatch.Reopen(ctx, id); err != nil {
			h.o.Log.Error("take up again", zap.Stringer("bundle", id), zap.Error(err))
		}
	}
	slices.Sort(h.Orphans)
	return nil
}
