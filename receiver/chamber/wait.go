package chamber

import (
	"errors"
	"slices"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Wait is what an approved bundle waits for at one destination that has not taken it. It is of this life of the daemon alone: the record says why an attempt failed, and nothing of bundles that
// have had none, or of when the next one is.
type Wait struct {
	Destination string     `json:"destination"` // "": the bundle's papers, which say nothing of one
	Error       *string    `json:"error"`       // of the last attempt; null: none has failed, and one is under way
	Since       time.Time  `json:"since"`       // that it fails, or that what is under way is
	Next        *time.Time `json:"next"`        // attempt; null: it is under way
	Behind      *bundle.ID `json:"behind"`      // the bundle that is tried in its stead, for order is kept; null: it is this one
}

// DestinationError says which destination has not taken a bundle.
type DestinationError struct {
	Destination string
	Err         error
}

func (e *DestinationError) Error() string { return e.Destination + ": " + e.Err.Error() }

func (e *DestinationError) Unwrap() error { return e.Err }

// toldOf is what those who wait are told of an attempt: what each destination said, or why none was asked.
func toldOf(faults []fault, why error) error {
	var all []error
	for _, f := range faults {
		if f.at != "" {
			all = append(all, &DestinationError{f.at, f.err})
		}
	}
	if !slices.ContainsFunc(faults, func(f fault) bool { return f.at != "" && errors.Is(why, f.err) }) {
		all = append(all, why)
	}
	return errors.Join(all...)
}

// DestinationErrors are the destinations that an error of Deliver tells of, if it tells of nothing else.
func DestinationErrors(err error) (all []*DestinationError, only bool) {
	if e, ok := err.(*DestinationError); ok {
		return []*DestinationError{e}, true
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil, false
	}
	for _, e := range joined.Unwrap() {
		more, only := DestinationErrors(e)
		if !only {
			return nil, false
		}
		all = append(all, more...)
	}
	return all, true
}

// Waits says what an approved bundle waits for, in the order of its tenant's destinations.
func (c *Chamber) Waits(id bundle.ID) (all []Wait) {
	r, err := c.o.Ledger.Get(id)
	if err != nil || r.State != ledger.Approved || c.outlets[r.Tenant] == nil {
		return nil
	}
	for _, o := range append([]*outlet{c.outlets[r.Tenant]}, c.remotes[r.Tenant]...) {
		all = append(all, o.waits(id)...)
	}
	return slices.DeleteFunc(all, func(w Wait) bool { return done(r, w.Destination) })
}

// waits is what a bundle waits for here.
func (o *outlet) waits(id bundle.ID) (all []Wait) {
	o.mu.Lock()
	defer o.mu.Unlock()
	under, queued := slices.Contains(o.under, id), o.queued[id]
	switch f := o.failed[id]; {
	case f != nil:
		next := &f.next
		if under {
			next = nil
		}
		for _, fault := range f.faults {
			all = append(all, waitFor(fault.at, fault.err, f.since, next))
		}
	case o.down != nil && (under || queued):
		next := &o.down.next
		if len(o.under) > 0 {
			next = nil
		}
		all = append(all, waitFor(o.to.Name(), o.down.err, o.down.since, next))
		if o.down.id != id {
			all[0].Behind = copied(&o.down.id)
		}
	case under || queued && len(o.under) > 0:
		for _, name := range o.names() {
			w := waitFor(name, nil, o.began, nil)
			if !under {
				w.Behind = copied(&o.under[0])
			}
			all = append(all, w)
		}
	}
	return all
}

func waitFor(at string, err error, since time.Time, next *time.Time) Wait {
	w := Wait{Destination: at, Since: since.UTC()}
	if err != nil {
		text := err.Error()
		w.Error = &text
	}
	if next != nil {
		at := next.UTC()
		w.Next = &at
	}
	return w
}

func copied[T any](p *T) *T {
	v := *p
	return &v
}

// names are those of the destinations that bundles go to here.
func (o *outlet) names() (all []string) {
	if o.to != nil {
		return []string{o.to.Name()}
	}
	for _, d := range o.tenant.Destinations {
		all = append(all, d.Directory)
	}
	return all
}
