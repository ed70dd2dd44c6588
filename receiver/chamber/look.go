package chamber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// Looked is what became of a bundle that somebody asked to be looked at again.
type Looked struct {
	Record *ledger.Record
	Asked  []string // inspectors; the word of the others is of the present rules and signatures
}

// NothingError says that there is nothing to look at, or nobody who could.
type NothingError struct{ Text string }

func (e *NothingError) Error() string { return e.Text }

// Look looks again at a bundle that is quarantined, approved, or imported and still kept: by all whose rules or signatures are newer than their word, or by everybody. Whoever flags what is not delivered yet
// takes it back; what is delivered stays so, and is an alarm until somebody has seen it.
func (c *Chamber) Look(ctx context.Context, id bundle.ID, everybody bool) (*Looked, error) {
	r, err := c.o.Ledger.Get(id)
	if err != nil {
		return nil, err
	}
	if err := c.canLook(r); err != nil {
		return nil, err
	}
	select {
	case c.looking <- struct{}{}:
		defer func() { <-c.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(c.ctx.Err()) })()
	said, failed := c.ask(ctx, r, c.asPerson, func(a *inspect.Asked, n *ledger.Inspection) (bool, error) {
		if n == nil || everybody {
			return true, nil
		}
		ready, cancel := context.WithTimeoutCause(ctx, a.Timeout, fmt.Errorf("it took longer than %v to say its version", a.Timeout))
		defer cancel()
		v, err := a.Inspector.Ready(ready)
		return v.Text != n.Version, err
	})
	if len(said) > 0 || uninspected(r) {
		err = c.evidence(id, said)
	}
	if errors.Is(err, ledger.ErrFatal) {
		c.fatal(err)
	}
	if err != nil {
		return nil, err
	}
	if r, err = c.o.Ledger.Get(id); err != nil {
		return nil, err
	}
	if uninspected(r) {
		c.look(r.Tenant, id)
	}
	looked := &Looked{Record: r}
	for _, n := range said {
		looked.Asked = append(looked.Asked, n.Inspector)
	}
	return looked, failed
}

// canLook says why a bundle cannot be looked at.
func (c *Chamber) canLook(r *ledger.Record) error {
	if !slices.Contains(lookable, r.State) || r.Name == nil {
		return &NothingError{fmt.Sprintf("bundle %s is %s: only what is quarantined, approved, or imported and still kept is looked at", r.Bundle, r.State)}
	}
	if len(c.chain(r.Tenant)) == 0 {
		return &NothingError{fmt.Sprintf("bundle %s: tenant %s has no policy, so nobody looks into its bundles", r.Bundle, r.Tenant)}
	}
	if _, err := c.o.Disk.Lstat(filepath.Join(Dir(c.o.State, r.Tenant, r.Bundle), quarantine.FilesName, *r.Name)); errors.Is(err, fs.ErrNotExist) {
		return &NothingError{fmt.Sprintf("bundle %s: nothing of its content is here any more (keep.imported says how long it stays)", r.Bundle)}
	} else if err != nil {
		return err
	}
	return nil
}

// lookable are the states whose bundles can be looked at again.
var lookable = []ledger.State{ledger.Quarantined, ledger.Approved, ledger.Imported}

// Lookable lists the bundles that can be looked at.
func (c *Chamber) Lookable(ctx context.Context) (list []bundle.ID, err error) {
	for _, s := range lookable {
		ids, err := c.o.Ledger.InState(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if r, err := c.o.Ledger.Get(id); err == nil && c.canLook(r) == nil {
				list = append(list, id)
			}
		}
	}
	return list, nil
}

// See notes that a person has seen what was flagged after it was delivered: the alarm ends, the evidence stays.
func (c *Chamber) See(id bundle.ID, by ledger.Sight) (*ledger.Record, error) {
	var after ledger.Record
	err := c.change(id, func(r *ledger.Record) error {
		if r.State == "" {
			return ledger.ErrNotFound
		}
		if r.Unseen() == nil {
			return refused("bundle %s: nothing was found in it after it was delivered that nobody has seen", id)
		}
		see(r, by)
		after = *r
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.noteUnseen(&after)
	if after.State == ledger.Approved {
		c.send(after.Tenant, id) // it goes on
	}
	c.o.Log.Info("seen: it was flagged after it had been delivered", zap.Stringer("bundle", id), zap.String("who", by.Who), zap.Uint32("uid", by.UID))
	return &after, nil
}

// see notes who has seen what flags a bundle.
func see(r *ledger.Record, by ledger.Sight) {
	for i := range r.Inspections {
		if n := &r.Inspections[i]; n.Verdict == ledger.Flagged && n.Seen == nil {
			n.Seen = &by
		}
	}
}

// Unseen is how many bundles were flagged after they had been delivered, and nobody has said that it was seen.
func (c *Chamber) Unseen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unseen)
}

func (c *Chamber) noteUnseen(r *ledger.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Unseen() != nil {
		c.unseen[r.Bundle] = true
	} else {
		delete(c.unseen, r.Bundle)
	}
}

// loadUnseen takes up what an earlier life found.
func (c *Chamber) loadUnseen(ctx context.Context) error {
	ids, err := c.o.Ledger.FlaggedAway(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if r, err := c.o.Ledger.Get(id); err == nil {
			c.noteUnseen(r)
		}
	}
	return nil
}
