package points

import (
	"ecluse/internal/audit/audittest"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	lowledger "ecluse/sender/ledger"
)

// audited holds the audit log of each side against the side.
func (w *world) audited(lows []lowledger.Record, highs map[bundle.ID]*ledger.Record) {
	low, high := make(map[string]string), make(map[string]string)
	for _, r := range lows {
		if r.State.Final() {
			low[r.Bundle.String()] = string(r.State)
		}
	}
	for id, r := range highs {
		if r.State.Ended() {
			high[id.String()] = string(r.State)
		}
	}
	audittest.Hold(w.low.state, lowledger.Digests(disk.New(), w.low.state), low, w.fail)
	audittest.Hold(w.high.state, ledger.Digests(disk.New(), w.high.state), high, w.fail)
}
