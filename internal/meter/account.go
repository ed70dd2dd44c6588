package meter

import (
	"context"
	"fmt"
	"time"

	"ecluse/internal/usage"
)

// Rows is what a house has on record.
type Rows interface {
	// Figures are what each tenant has used in a month, as far as now.
	Figures(ctx context.Context, m usage.Month, now time.Time) (map[string]usage.Figures, error)
	// First is the time of the oldest thing that counts; ok is false where there is none.
	First(ctx context.Context) (at time.Time, ok bool, err error)
}

// Account is closed and open months together, at one time.
type Account struct {
	book   Book
	rows   Rows
	prices *usage.Prices
	now    time.Time
	first  usage.Month // on record; 0: nothing is
	last   usage.Month // closed; 0: none
	closed map[usage.Month]bool
	months map[usage.Month]*usage.MonthReport
}

// newAccount begins one. known are statements that were read before, which it may add to; nil for none.
func newAccount(ctx context.Context, book Book, rows Rows, prices *usage.Prices, now time.Time, known map[usage.Month]*usage.MonthReport) (*Account, error) {
	if known == nil {
		known = make(map[usage.Month]*usage.MonthReport)
	}
	a := &Account{book: book, rows: rows, prices: prices, now: now, closed: make(map[usage.Month]bool), months: known}
	list, err := book.Months()
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		a.closed[m], a.last = true, m
	}
	if len(list) > 0 {
		a.first = list[0]
		return a, nil
	}
	at, ok, err := rows.First(ctx)
	if err != nil {
		return nil, err
	}
	if ok {
		a.first = usage.MonthOf(at)
	}
	return a, nil
}

// Month is what was used in one: of a closed one as it was closed, of another as far as it has come.
func (a *Account) Month(ctx context.Context, m usage.Month) (*usage.MonthReport, error) {
	if r := a.months[m]; r != nil {
		return r, nil
	}
	r := &usage.MonthReport{Month: m, State: usage.Open, Tenants: []usage.Line{}}
	switch {
	case a.closed[m]:
		s, signed, err := a.book.Read(m)
		if err != nil {
			return nil, err
		}
		r.State, r.Signed, r.Tenants = usage.Closed, signed, s.Tenants
		if s.Prices != nil {
			r.Currency = &s.Prices.Currency
		}
		if signed { // it will not change any more
			a.months[m] = r
		}
		return r, nil
	case a.first == 0 || m < a.first || m > usage.MonthOf(a.now): // nothing
	case m < a.last:
		return nil, fmt.Errorf("%s is gone from between others: restore it from a backup", a.book.Path(m))
	default:
		figures, err := a.rows.Figures(ctx, m, a.now)
		if err != nil {
			return nil, err
		}
		r.Tenants = usage.Lines(figures, a.prices)
	}
	if a.prices != nil && a.prices.Given {
		r.Currency = &a.prices.Currency
	}
	return r, nil
}

// Stand is how envelopes stand, in the order of tenants.
func (a *Account) Stand(ctx context.Context, tenants []Tenant) ([]usage.Standing, error) {
	list := []usage.Standing{}
	var failed error
	read := make(map[usage.Month]*usage.MonthReport) // an open month once for all tenants
	for _, t := range tenants {
		if !t.Envelope.Given {
			continue
		}
		list = append(list, t.Envelope.Stand(t.Name, a.now, a.first, func(m usage.Month) (u usage.Used) {
			if read[m] == nil && failed == nil {
				read[m], failed = a.Month(ctx, m)
			}
			if failed != nil {
				return u
			}
			for _, l := range read[m].Tenants {
				if l.Tenant == t.Name {
					u = usage.UsedOf(l.Figures, l.Cost)
				}
			}
			return u
		}))
	}
	return list, failed
}

// Terms are what a configuration says of an account: for whom it is kept, and at which prices.
type Terms struct {
	Prices  usage.Prices
	Tenants []Tenant
}

// Tenant is one and its envelope.
type Tenant struct {
	Name     string
	Envelope usage.Envelope
}

// Report gathers months, and how the envelopes stand.
func (a *Account) Report(ctx context.Context, from, through usage.Month, tenants []Tenant) (*usage.Report, error) {
	r := &usage.Report{Months: []usage.MonthReport{}}
	for m := from; m <= through; m++ {
		one, err := a.Month(ctx, m)
		if err != nil {
			return nil, err
		}
		r.Months = append(r.Months, *one)
	}
	var err error
	r.Envelopes, err = a.Stand(ctx, tenants)
	return r, err
}
