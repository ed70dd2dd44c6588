package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// Older returns some of the bundles in a state that ended before a time, the oldest first. The ends of the chains are not among them: they stay. What a purge that was cut short has
// left without a record is: else it would stay on the list for good. An error is about records that cannot be read; the others are returned all the same.
func (l *Ledger) Older(ctx context.Context, s State, before time.Time) ([]bundle.ID, error) {
	all, err := l.ids(ctx, `SELECT bundle FROM bundles WHERE state = ? AND finished < ? ORDER BY finished, bundle LIMIT 1000`, string(s), before.UnixNano())
	if err != nil {
		return nil, err
	}
	list := all[:0]
	var unreadable []error // they stay, and hold up no other
	for _, id := range all {
		r, err := l.Get(id)
		switch {
		case errors.Is(err, ErrNotFound), err == nil && r.State.Final() && !l.isHead(r):
			list = append(list, id)
		case err != nil:
			unreadable = append(unreadable, err)
		}
	}
	return list, errors.Join(unreadable...)
}

// isHead says that a bundle is the end of its chain: its manifest is what the next one names, and what the chain is found by again.
func (l *Ledger) isHead(r *Record) bool {
	return r.Sequence != nil && r.Epoch == l.epoch && *r.Sequence >= l.Head(r.Tenant).Sequence
}

// Purge forgets bundles that have ended, for good: record, manifest, row. It leaves those that have not ended, perhaps because somebody has asked for them again meanwhile,
// and the ends of the chains.
func (l *Ledger) Purge(ctx context.Context, ids []bundle.ID) error {
	if len(ids) == 0 {
		return nil
	}
	return l.ask(ctx, &request{purge: ids})
}

// purge runs behind the batch it came in. Files go first: rows without files are swept by the next start, files without rows would stay for ever.
func (l *Ledger) purge(ids []bundle.ID) error {
	var going, gone []bundle.ID
	var records []*Record
	var unreadable []error // they stay, and hold up no other
	for _, id := range ids {
		r, err := l.Get(id)
		switch {
		case errors.Is(err, ErrNotFound): // an earlier purge was cut short
		case err != nil:
			unreadable = append(unreadable, err)
			continue
		case !r.State.Final() || l.isHead(r):
			continue
		default:
			records = append(records, r)
		}
		going = append(going, id)
	}
	if err := l.purged(records); err != nil {
		return err
	}
	for _, id := range going {
		if err := l.disk.RemoveAll(l.bundleDir(id)); err != nil {
			unreadable = append(unreadable, fmt.Errorf("purge %s: %w", id, err))
			l.tellStands(id, "it could not be removed")
			continue
		}
		l.mu.Lock()
		delete(l.live, id)
		delete(l.behind, id)
		l.mu.Unlock()
		gone = append(gone, id)
	}
	if err := l.disk.SyncAll(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	err := l.roomy(func() error {
		return l.catalog.Write(context.Background(), func(tx *sql.Tx) error {
			for _, id := range gone {
				for _, table := range []string{"bundles", "link"} {
					if _, err := tx.Exec(`DELETE FROM `+table+` WHERE bundle = ?`, id.String()); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	switch {
	case catalog.NoRoom(err): // their rows stay, and the next purge finds that nothing is behind them
		unreadable = append(unreadable, fmt.Errorf("purge rows: %w", err))
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	return errors.Join(unreadable...)
}
