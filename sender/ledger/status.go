package ledger

import (
	"context"

	"ecluse/protocol/bundle"
)

// List is the function List over the open catalog.
func (l *Ledger) List(ctx context.Context, q Query) ([]Record, error) {
	return List(ctx, l.catalog.DB(), q)
}

// Find is the function Find over the open catalog.
func (l *Ledger) Find(ctx context.Context, s string) (bundle.ID, error) {
	return Find(ctx, l.catalog.DB(), s)
}

// Counts is the function Counts over the open catalog.
func (l *Ledger) Counts(ctx context.Context) (map[State]int64, error) {
	return Counts(ctx, l.catalog.DB())
}
