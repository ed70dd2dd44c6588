package ledger

import (
	"context"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// List is the function List over the open catalog.
func (l *Ledger) List(ctx context.Context, q Query) ([]Record, error) {
	return List(ctx, l.catalog.DB(), q)
}

// Find is catalog.Find over the open catalog.
func (l *Ledger) Find(ctx context.Context, s string) (bundle.ID, error) {
	return catalog.Find(ctx, l.catalog.DB(), s)
}

// Counts is catalog.Counts over the open catalog.
func (l *Ledger) Counts(ctx context.Context) (map[State]int64, error) {
	return catalog.Counts[State](ctx, l.catalog.DB())
}
