package ledger

import (
	"context"
	"fmt"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// At returns the bundle that has a sequence of a tenant in the present epoch, or ErrNotFound.
func (l *Ledger) At(ctx context.Context, tenant bundle.Name, sequence uint64) (bundle.ID, error) {
	found, err := l.ids(ctx, `SELECT bundle FROM bundles WHERE tenant = ? AND epoch = ? AND sequence = ? LIMIT 1`, string(tenant), l.epoch.String(), int64(sequence))
	if err != nil {
		return bundle.ID{}, err
	}
	if len(found) == 0 {
		return bundle.ID{}, fmt.Errorf("%w: sequence %d of %s was left out, or is no longer on record", ErrNotFound, sequence, tenant)
	}
	return found[0], nil
}

// Between returns the bundles of a tenant's sequences from one to another, in the present epoch, that are in one of these states; ascending.
func (l *Ledger) Between(ctx context.Context, tenant bundle.Name, from, to uint64, states ...State) (list []bundle.ID, err error) {
	const q = `SELECT bundle FROM bundles WHERE tenant = ? AND epoch = ? AND sequence BETWEEN ? AND ? AND state = ? ORDER BY sequence`
	for _, s := range states {
		found, err := l.ids(ctx, q, string(tenant), l.epoch.String(), int64(from), int64(to), string(s))
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// Epochs returns every epoch of which a bundle is on record.
func (l *Ledger) Epochs(ctx context.Context) (list []bundle.Epoch, err error) {
	rows, err := l.catalog.DB().QueryContext(ctx, `SELECT DISTINCT epoch FROM bundles ORDER BY epoch`)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e bundle.Epoch
		if err := rows.Scan(catalog.Text(&e)); err != nil {
			return nil, fmt.Errorf("ask the catalog: %w", err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// Epoch is the present one.
func (l *Ledger) Epoch() bundle.Epoch { return l.epoch }
