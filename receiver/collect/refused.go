package collect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"ecluse/protocol/bundle"
)

const (
	// strangersKept bounds the rows for keys that are not enrolled. A flood of forged announcements fills them; what no longer fits is
	// counted by reason alone. Enrolled senders have a row for each reason, so their number bounds theirs.
	strangersKept = 32
	// refusedFor is how long a stranger's row stands before a full table gives its place to another one.
	refusedFor = 10 * time.Minute
	// reportEvery is how often a refusal of one reason is reported.
	reportEvery = time.Minute
)

// Refusal is what was refused of one sender for one reason, and how often. A number in a refused announcement is anybody's to make up, so it makes
// no row of its own.
type Refusal struct {
	Sender  string // the sender's name; the key's fingerprint where it is not enrolled; empty where neither can be said
	Session uint64 // the number of the last one; 0 where it cannot be said
	Reason  bundle.Reason
	Count   uint64
	First   time.Time
	Last    time.Time
}

// refusedKey is what makes two refusals one.
type refusedKey struct {
	sender string
	reason bundle.Reason
}

// stranger tells whether the sender has no name here: its fingerprint stands for it, and no name begins like that (I-2).
func (k refusedKey) stranger() bool { return strings.HasPrefix(k.sender, fingerprintPrefix) }

// refusedTable counts refused sessions. Its size is bounded whatever a peer announces. One goroutine owns it.
type refusedTable struct {
	entries map[refusedKey]*Refusal
	told    map[bundle.Reason]time.Time
}

// add counts n refusals of one kind. report tells whether it is to be reported now: once in reportEvery for each reason.
func (t *refusedTable) add(now time.Time, sender string, session uint64, reason bundle.Reason, n uint64) (r Refusal, report bool) {
	if t.entries == nil {
		t.entries, t.told = make(map[refusedKey]*Refusal), make(map[bundle.Reason]time.Time)
	}
	key := refusedKey{sender, reason}
	e := t.entries[key]
	if e == nil && key.stranger() && !t.room(now) {
		key = refusedKey{reason: reason} // at most one more for each reason
		e = t.entries[key]
	}
	if e == nil {
		e = &Refusal{Sender: key.sender, Reason: reason, First: now}
		t.entries[key] = e
	}
	e.Count += n
	e.Last = now
	if key.sender == sender && session != 0 {
		e.Session = session
	}
	if told, ok := t.told[reason]; !ok || now.Sub(told) >= reportEvery {
		t.told[reason] = now
		r = *e
		r.Sender, r.Session = sender, session
		return r, true
	}
	return Refusal{}, false
}

// room tells whether there is a row for one more stranger. The row that stood still the longest gives way, if that is long enough.
func (t *refusedTable) room(now time.Time) bool {
	var oldest *Refusal
	strangers := 0
	for k, e := range t.entries {
		if !k.stranger() {
			continue
		}
		strangers++
		if oldest == nil || e.Last.Before(oldest.Last) {
			oldest = e
		}
	}
	if strangers < strangersKept {
		return true
	}
	if now.Sub(oldest.Last) < refusedFor {
		return false
	}
	delete(t.entries, refusedKey{oldest.Sender, oldest.Reason})
	return true
}

// all gives the entries in the order of their first refusal.
func (t *refusedTable) all() []Refusal {
	all := make([]Refusal, 0, len(t.entries))
	for _, e := range t.entries {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
