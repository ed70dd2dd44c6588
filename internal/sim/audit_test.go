package sim

import (
	"fmt"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	lowledger "ecluse/sender/ledger"
)

// audited holds the audit log of each side against itself and the records beside it (I7), and every bundle that has ended against its entries.
func (w *world) audited(lows []lowledger.Record, highs map[bundle.ID]*ledger.Record) {
	low := func(yield func(bundle, digest string) error) error {
		return lowledger.Digests(disk.New(), w.low.state, yield)
	}
	high := func(yield func(bundle, digest string) error) error {
		return ledger.Digests(disk.New(), w.high.state, yield)
	}
	for side, records := range map[string]audit.Records{w.low.state: low, w.high.state: high} {
		log := audit.Reader{Disk: disk.New(), Dir: audit.Dir(side)}
		r, err := audit.Verify(log, nil, "", records)
		if err != nil {
			w.fail("I7: read the audit log in %s: %v", side, err)
			continue
		}
		for _, f := range r.Faults {
			w.fail("I7: the audit log in %s: %s", side, f.Text)
		}
	}
	for _, r := range lows {
		if r.State.Final() {
			w.told(w.low.state, r.Bundle.String(), string(r.State))
		}
	}
	for id, r := range highs {
		if r.State.Ended() {
			w.told(w.high.state, id.String(), string(r.State))
		}
	}
}

// told says that a bundle has an entry of how it came to its state. A log that was begun anew, because a file of it was damaged, knows what it had only.
func (w *world) told(state, bundle, is string) {
	log := audit.Reader{Disk: disk.New(), Dir: audit.Dir(state)}
	entries, err := log.List(audit.Query{Bundle: bundle})
	for _, e := range entries {
		if e.State == is || e.Event == "known" {
			return
		}
	}
	w.fail("I7: %s is %s, and no entry of the audit log in %s says how it became that (%s)", bundle, is, state, fmt.Sprint(err))
}
