package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"

	"ecluse/internal/audit"
	"ecluse/protocol/bundle"
)

// Purge forgets bundles that have ended, for good. The chain keeps a floor: what lies at or below it is refused from now on, because nobody can tell any more whether
// it has been here (rule Q-2).
func (l *Ledger) Purge(ctx context.Context, ids []bundle.ID) error {
	return l.ask(ctx, &request{done: make(chan error, 1), after: func() error { return l.purge(ids) }})
}

// purge runs behind the batch it came in, so that nothing of that batch brings back what it removes.
func (l *Ledger) purge(ids []bundle.ID) error {
	var records []*Record
	var gone []bundle.ID
	var unreadable []error // they stay, and hold up nobody
	for _, id := range ids {
		r, err := l.Get(id)
		switch {
		case errors.Is(err, ErrNotFound): // an earlier purge was cut short
		case err != nil:
			unreadable = append(unreadable, err)
			continue
		case !r.State.Ended():
			unreadable = append(unreadable, fmt.Errorf("purge %s: it is %s", id, r.State)) // it was refused, and has been offered again meanwhile
			continue
		default:
			records = append(records, r)
		}
		gone = append(gone, id)
	}
	if err := l.raiseFloors(records); err != nil {
		return err
	}
	if err := l.roomy(func() error { return l.purged(records, l.now().UTC()) }); err != nil {
		return err
	}
	l.anchor.lower(records) // it must not miss what is removed on purpose
	if err := l.flushAnchor(); err != nil {
		return err
	}
	if err := l.disk.SyncAll(l.dir); err != nil { // the floors first
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	l.anchor.committed(l.commits, nil, nil, l.linked)
	for _, r := range records {
		if err := l.disk.RemoveAll(l.path(r.Bundle)); err != nil {
			l.unpurge(records)
			return fmt.Errorf("purge %s: %w", r.Bundle, err)
		}
	}
	return errors.Join(l.hide(context.Background(), gone), errors.Join(unreadable...))
}

// raiseFloors lifts the floors of chains to the highest sequences that are about to be forgotten, and notes how far all before them is safe. Epochs that nobody has paired have floors too: somebody may.
func (l *Ledger) raiseFloors(records []*Record) error {
	changed := make(map[bundle.Name]*chains)
	looked := make(map[Chain]bool)
	for _, r := range records {
		if !r.Held() || r.Sequence == nil {
			continue
		}
		c := changed[r.Sender]
		if c == nil {
			l.mu.Lock()
			c = l.chains[r.Sender].clone(r.Sender)
			l.mu.Unlock()
		}
		marked, err := false, error(nil)
		if at := (Chain{r.Sender, r.Tenant, r.Epoch}); !looked[at] && c.status(r.Epoch) != bundle.EpochReplaced {
			looked[at] = true
			if marked, err = l.raiseMark(c, r.Tenant, r.Epoch); err != nil {
				return err
			}
		}
		if c.raise(r.Epoch, r.Tenant, *r.Sequence) || marked {
			changed[r.Sender] = c
		}
	}
	for _, c := range changed {
		if err := l.putChain(c); err != nil {
			return err
		}
	}
	return nil
}

// clone copies what is remembered of a sender, or begins it.
func (c *chains) clone(sender bundle.Name) *chains {
	if c == nil {
		return &chains{Sender: sender, Floors: make(map[bundle.Epoch]map[bundle.Name]uint64)}
	}
	copied := &chains{Sender: c.Sender, Epoch: c.Epoch, Replaced: append([]bundle.Epoch(nil), c.Replaced...), Floors: make(map[bundle.Epoch]map[bundle.Name]uint64)}
	for e, floors := range c.Floors {
		copied.Floors[e] = maps.Clone(floors)
	}
	for e, marks := range c.Safe {
		if copied.Safe == nil {
			copied.Safe = make(map[bundle.Epoch]map[bundle.Name]safeMark)
		}
		copied.Safe[e] = maps.Clone(marks)
	}
	return copied
}

// raise lifts one floor, and says whether it was lower.
func (c *chains) raise(e bundle.Epoch, tenant bundle.Name, sequence uint64) bool {
	if c.status(e) == bundle.EpochReplaced || c.Floors[e][tenant] >= sequence {
		return false // nothing of a replaced epoch is taken anyway
	}
	if c.Floors[e] == nil {
		c.Floors[e] = make(map[bundle.Name]uint64)
	}
	c.Floors[e][tenant] = sequence
	return true
}

// hide takes bundles out of the catalog, and shows the floors instead.
func (l *Ledger) hide(ctx context.Context, ids []bundle.ID) error {
	var told []audit.Entry
	err := l.catalog.Write(ctx, func(tx *sql.Tx) (err error) {
		for _, id := range ids {
			if _, err := tx.Exec(`DELETE FROM bundles WHERE bundle = ?`, id.String()); err != nil {
				return err
			}
		}
		told, err = l.showFloors(tx)
		return err
	})
	if err == nil {
		l.tellAll(told)
	}
	return err
}

// showFloors has the catalog know which sequences are not missing but forgotten, and gives entries of those that were told to be missing.
func (l *Ledger) showFloors(tx *sql.Tx) (told []audit.Entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.chains {
		for e, floors := range c.Floors {
			for tenant, floor := range floors {
				_, err := tx.Exec(`INSERT INTO floors (sender, tenant, epoch, floor) VALUES (?, ?, ?, ?)
					ON CONFLICT (sender, tenant, epoch) DO UPDATE SET floor = excluded.floor`, string(c.Sender), string(tenant), e.String(), int64(floor))
				if err != nil {
					return nil, err
				}
				list, err := toldOf(tx, floor, "what came after it is forgotten", `sender = ? AND tenant = ? AND epoch = ? AND first <= ?`, string(c.Sender), string(tenant), e.String(), int64(floor))
				if err == nil {
					err = cut(tx, Chain{c.Sender, tenant, e}, 1, floor)
				}
				if err != nil {
					return nil, err
				}
				told = append(told, list...)
			}
		}
	}
	return told, nil
}
