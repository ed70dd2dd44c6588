package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ecluse/internal/catalog"
	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// chains is what is remembered of one sender: chains/<sender>.json.
type chains struct {
	Sender   bundle.Name                               `json:"sender"`
	Epoch    bundle.Epoch                              `json:"epoch,omitzero"` // the paired one
	Replaced []bundle.Epoch                            `json:"replaced"`       // paired once
	Floors   map[bundle.Epoch]map[bundle.Name]uint64   `json:"floors"`         // by tenant: sequences at or below it are forgotten on purpose
	Safe     map[bundle.Epoch]map[bundle.Name]safeMark `json:"safe,omitempty"` // by tenant
}

// status says what is known of an epoch.
func (c *chains) status(e bundle.Epoch) bundle.EpochStatus {
	switch {
	case c != nil && c.Epoch == e && !e.IsZero():
		return bundle.EpochPaired
	case c != nil && slices.Contains(c.Replaced, e):
		return bundle.EpochReplaced
	}
	return bundle.EpochUnknown
}

// Chain names one chain: the sequences that a sender gives out to a tenant in an epoch.
type Chain struct {
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
		var c chains
		text, _, err = journal.Open(text)
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil || string(c.Sender) != name {
			return fmt.Errorf("%s is damaged: restore it from a backup (%s): %w", filepath.Join(l.dir, "chains", n), damagedHint, errors.Join(err, errRecord))
		}
		l.chains[c.Sender] = &c
	}
	return nil
}

// Pair makes epoch the one that is accepted from a sender. The one before it is replaced for good: nothing of it is taken any more.
func (l *Ledger) Pair(ctx context.Context, sender bundle.Name, epoch bundle.Epoch) error {
	return l.ask(ctx, &request{done: make(chan error, 1), chain: func() error {
		l.mu.Lock()
		c := l.chains[sender].clone(sender)
		l.mu.Unlock()
		switch c.status(epoch) {
		case bundle.EpochPaired:
			return nil
		case bundle.EpochReplaced:
			return bundle.Reject(bundle.ReasonSequenceRollback, "Q-2", "epoch %s of %s was paired before and has been replaced", epoch, sender)
		}
		if !c.Epoch.IsZero() {
			c.Replaced = append(c.Replaced, c.Epoch)
			delete(c.Floors, c.Epoch)
			delete(c.Safe, c.Epoch)
		}
		c.Epoch = epoch
		if err := l.pairing(sender, epoch); err != nil {
			return err
		}
		return l.putChain(c)
	}})
}

func (l *Ledger) putChain(c *chains) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = l.disk.Replace(l.chainPath(c.Sender), journal.Seal(text))
	}
	if err != nil {
		return fmt.Errorf("write the chain of %s: %w", c.Sender, err)
	}
	l.linked = append(l.linked, c)
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
	if c == nil || c.Epoch.IsZero() {
		return bundle.Epoch{}, false
	}
	return c.Epoch, true
}

// Judge holds a verified manifest against the chain (rules ). It is called from within Change, so that bundles of one batch are judged against each other.
func (l *Ledger) Judge(sender, tenant bundle.Name, p bundle.Place) error {
	h := &history{l: l, sender: sender, tenant: tenant, mark: l.anchor.at(Chain{sender, tenant, p.Epoch})}
	if h.mark.Sequence == p.Sequence && h.mark.Digest == p.Digest {
		h.mark = Mark{} // it is the one that is remembered
	}
	err := bundle.Judge(h, p)
	if h.err != nil {
		return h.err // and no refusal, which would stand
	}
	if err == nil {
		err = l.Doubted(sender, tenant, p.Epoch, p.Sequence, time.Time{})
	}
	return err
}

// history is bundle.History over the batch and the catalog. The first failure of the catalog is kept, and no judgement stands then.
type history struct {
	l              *Ledger
	sender, tenant bundle.Name
	mark           Mark // what the anchor remembers of the chain; it stands in for a record that is lost
	err            error
}

func (h *history) Held(id bundle.ID) bool {
	r, err := h.l.look(id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		h.err = errors.Join(h.err, err)
	}
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
	return h.l.chains[h.sender].status(e)
}

func (h *history) At(e bundle.Epoch, sequence uint64) (digest, previous bundle.Digest, ok bool) {
	for _, r := range h.l.staged {
		if r.Held() && r.Sender == h.sender && r.Tenant == h.tenant && r.Epoch == e && r.Sequence != nil && *r.Sequence == sequence {
			return r.Manifest.Digest, r.Manifest.Previous, true
		}
	}
	const q = `SELECT digest, previous FROM bundles WHERE held = 1 AND sender = ? AND tenant = ? AND epoch = ? AND sequence = ?`
	if !h.query(q, []any{string(h.sender), string(h.tenant), e.String(), int64(sequence)}, catalog.Text(&digest), catalog.Text(&previous)) {
		return h.mark.Digest, h.mark.Previous, h.mark.Sequence == sequence && h.mark.Epoch == e
	}
	return digest, previous, true
}

func (h *history) Floor(e bundle.Epoch) uint64 {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	if c := h.l.chains[h.sender]; c != nil {
		return c.Floors[e][h.tenant]
	}
	return 0
}

func (h *history) query(q string, args []any, into ...any) bool {
	s, err := h.l.catalog.Prepared(context.Background(), q)
	if err == nil {
		err = s.QueryRow(args...).Scan(into...)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		h.err = errors.Join(h.err, fmt.Errorf("ask the catalog: %w", err))
	}
	return err == nil
}

// Beat notes a chain's head. It never goes down. known is false for a head that is new.
func (l *Ledger) Beat(sender, tenant bundle.Name, epoch bundle.Epoch, h Head) (known bool) {
	p := Chain{sender, tenant, epoch}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heads[p].Sequence >= h.Sequence || !l.mayHave(p) {
		return true
	}
	l.heads[p] = h
	l.moved[p] = true
	l.anchor.touch()
	return false
}

// strangeEpochs bounds the epochs of a sender that nobody has paired and whose heads are kept: a sender can open as many sessions as it likes, each with another epoch.
const strangeEpochs = 4

// mayHave says whether a head of this chain is kept.
func (l *Ledger) mayHave(p Chain) bool {
	if _, ok := l.heads[p]; ok {
		return true
	}
	if c := l.chains[p.Sender]; c != nil && c.Epoch == p.Epoch {
		return true
	}
	strange := map[bundle.Epoch]bool{p.Epoch: true}
	for other := range l.heads {
		if other.Sender == p.Sender {
			strange[other.Epoch] = true
		}
	}
	return len(strange) <= strangeEpochs+1 // the paired one may be among them
}
