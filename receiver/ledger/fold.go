package ledger

import (
	"context"
	"database/sql"
	"errors"

	"ecluse/internal/audit"
	"ecluse/protocol/bundle"
)

// Fold says whether one more refusal of an offer, or abandon of a bundle of which nothing came, is like so many before it that it is counted in the audit log, and is to have no record: that
// would have an entry. tenant is empty where none of that name is configured: there are as many of those as a sender likes.
func (l *Ledger) Fold(as State, sender, tenant bundle.Name, reason bundle.Reason) bool {
	return l.audit != nil && l.audit.Fold(audit.Kind{Event: string(as), Sender: string(sender), Tenant: string(tenant), Reason: string(reason)})
}

// FoldAway forgets a bundle that comes in, whose end the audit log counts instead of telling of it. It says whether it did: of what has a record file, or is not one too many, nothing changes.
func (l *Ledger) FoldAway(ctx context.Context, id bundle.ID, as State, reason bundle.Reason) (folded bool, err error) {
	err = l.ask(ctx, &request{done: make(chan error, 1), after: func() error {
		r, err := l.Get(id)
		if err != nil || r.State.Stored() {
			return ignoring(err, ErrNotFound)
		}
		if _, err := ReadRecord(l.disk, l.dir, id); !errors.Is(err, ErrNotFound) { // it was refused before, for want of room
			return err
		}
		if folded = l.Fold(as, r.Sender, r.Tenant, reason); !folded {
			return nil
		}
		l.mu.Lock()
		delete(l.live, id)
		l.mu.Unlock()
		return l.roomy(func() error { return l.unshow(r) })
	}})
	return folded, err
}

// unshow takes a bundle out of the catalog that was never held, and leaves its place in the chain.
func (l *Ledger) unshow(r *Record) error {
	return l.catalog.Write(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM bundles WHERE bundle = ?`, r.Bundle.String())
		if err == nil && r.Sequence != nil {
			err = l.leave(tx, Chain{r.Sender, r.Tenant, r.Epoch}, *r.Sequence)
		}
		return err
	})
}

func ignoring(err, one error) error {
	if errors.Is(err, one) {
		return nil
	}
	return err
}
