package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ecluse/protocol/bundle"
)

// chain is what is remembered of one sender: chains/<sender>.json.
type chain struct {
	Sender   bundle.Name            `json:"sender"`
	Epoch    bundle.Epoch           `json:"epoch"`    // the paired one
	Replaced []bundle.Epoch         `json:"replaced"` // paired once
	Floors   map[bundle.Name]uint64 `json:"floors"`   // by tenant: sequences of the paired epoch at or below it are forgotten on purpose
}

// place is one chain: a sender, a tenant and an epoch.
type place struct {
	Sender, Tenant bundle.Name
	Epoch          bundle.Epoch
}

// Head is the highest sequence that a sender says it gave out, and the digest of its manifest.
type Head struct {
	Sequence uint64
	Digest   bundle.Digest
}

func (l *Ledger) chainPath(sender bundle.Name) string {
	return filepath.Join(l.dir, "chains", string(sender)+".json")
}

func (l *Ledger) loadChains() error {
	names, err := l.disk.ReadDir(filepath.Join(l.dir, "chains"))
	if err != nil {
		return err
	}
	for _, n := range names {
		name, ok := strings.CutSuffix(n, ".json")
		if !ok {
			continue
		}
		text, err := l.disk.ReadFile(filepath.Join(l.dir, "chains", n), recordLimit)
		if err != nil {
			return err
		}
		var c chain
		if err := json.Unmarshal(text, &c); err != nil || string(c.Sender) != name {
			return fmt.Errorf("chains/%s is damaged: restore it from a backup, or pair the sender again: %w", n, errors.Join(err, errRecord))
		}
		l.chains[c.Sender] = &c
	}
	return nil
}

// Pair makes epoch the one that is accepted from a sender. The one before it is replaced for good: nothing of it is taken any more.
func (l *Ledger) Pair(ctx context.Context, sender bundle.Name, epoch bundle.Epoch) error {
	return l.ask(ctx, &request{done: make(chan error, 1), chain: func() error {
		l.mu.Lock()
		old := l.chains[sender]
		l.mu.Unlock()
		c := &chain{Sender: sender, Epoch: epoch}
		if old != nil {
			if old.Epoch == epoch {
				return nil
			}
			c.Replaced = append(slices.Clone(old.Replaced), old.Epoch)
		}
		if slices.Contains(c.Replaced, epoch) {
			return bundle.Reject(bundle.ReasonSequenceRollback, "Q-2", "epoch %s of %s was paired before and has been replaced", epoch, sender)
		}
		return l.putChain(c)
	}})
}

func (l *Ledger) putChain(c *chain) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = l.disk.Put(l.chainPath(c.Sender), text)
	}
	if err != nil {
		return fmt.Errorf("write the chain of %s: %w", c.Sender, err)
	}
	l.mu.Lock()
	l.chains[c.Sender] = c
	l.mu.Unlock()
	return nil
}

// Paired returns the paired epoch of a sender.
func (l *Ledger) Paired(sender bundle.Name) (bundle.Epoch, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chains[sender]
	if c == nil {
		return bundle.Epoch{}, false
	}
	return c.Epoch, true
}

// Judge holds a verified manifest against the chain (rules ). It is called from within Change, so that bundles of one batch are judged against each other.
func (l *Ledger) Judge(sender, tenant bundle.Name, p bundle.Place) error {
	h := &history{l: l, sender: sender, tenant: tenant}
	err := bundle.Judge(h, p)
	return errors.Join(h.err, err)
}

// history is bundle.History over the batch and the catalog. The first failure of the catalog is kept, and no judgement stands then.
type history struct {
	l              *Ledger
	sender, tenant bundle.Name
	err            error
}

func (h *history) Held(id bundle.ID) bool {
	r, err := h.l.look(id)
	return err == nil && r.Held()
}

func (h *history) HeldDigest(d bundle.Digest) bool {
	for _, r := range h.l.staged {
		if r.Held() && r.Manifest.Digest == d {
			return true
		}
	}
	var n int
	h.query(`SELECT count(*) FROM bundles WHERE held = 1 AND digest = ?`, []any{d.String()}, &n)
	return n > 0
}

func (h *history) EpochStatus(e bundle.Epoch) bundle.EpochStatus {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	c := h.l.chains[h.sender]
	switch {
	case c != nil && c.Epoch == e:
		return bundle.EpochPaired
	case c != nil && slices.Contains(c.Replaced, e):
		return bundle.EpochReplaced
	}
	return bundle.EpochUnknown
}

func (h *history) At(e bundle.Epoch, sequence uint64) (digest, previous bundle.Digest, ok bool) {
	for _, r := range h.l.staged {
		if r.Held() && r.Sender == h.sender && r.Tenant == h.tenant && r.Epoch == e && r.Sequence != nil && *r.Sequence == sequence {
			return r.Manifest.Digest, r.Manifest.Previous, true
		}
	}
	var d, p string
	const q = `SELECT digest, previous FROM bundles WHERE held = 1 AND sender = ? AND tenant = ? AND epoch = ? AND sequence = ?`
	if !h.query(q, []any{string(h.sender), string(h.tenant), e.String(), int64(sequence)}, &d, &p) {
		return digest, previous, false
	}
	digest, err := bundle.ParseDigest(d)
	if err != nil {
		h.err = errors.Join(h.err, err)
	}
	previous, err = bundle.ParseDigest(p)
	if err != nil {
		h.err = errors.Join(h.err, err)
	}
	return digest, previous, true
}

func (h *history) Floor(e bundle.Epoch) uint64 {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	if c := h.l.chains[h.sender]; c != nil && c.Epoch == e {
		return c.Floors[h.tenant]
	}
	return 0
}

func (h *history) query(q string, args []any, into ...any) bool {
	err := h.l.catalog.DB().QueryRow(q, args...).Scan(into...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		h.err = errors.Join(h.err, fmt.Errorf("ask the catalog: %w", err))
	}
	return err == nil
}

// Beat notes a chain's head. It never goes down. known is false for a head that is new.
func (l *Ledger) Beat(sender, tenant bundle.Name, epoch bundle.Epoch, h Head) (known bool) {
	p := place{sender, tenant, epoch}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heads[p].Sequence >= h.Sequence {
		return true
	}
	l.heads[p] = h
	l.moved[p] = true
	return false
}

// raiseFloors lifts the floors of chains to the highest sequence that is about to be forgotten.
func (l *Ledger) raiseFloors(records []*Record) error {
	changed := make(map[bundle.Name]*chain)
	for _, r := range records {
		if !r.Held() || r.Sequence == nil {
			continue
		}
		l.mu.Lock()
		c := l.chains[r.Sender]
		l.mu.Unlock()
		if copied := changed[r.Sender]; copied != nil {
			c = copied
		}
		if c == nil || c.Epoch != r.Epoch || c.Floors[r.Tenant] >= *r.Sequence {
			continue
		}
		raised := *c
		raised.Floors = maps.Clone(c.Floors)
		if raised.Floors == nil {
			raised.Floors = make(map[bundle.Name]uint64)
		}
		raised.Floors[r.Tenant] = *r.Sequence
		changed[r.Sender] = &raised
	}
	for _, c := range changed {
		if err := l.putChain(c); err != nil {
			return err
		}
	}
	return nil
}
