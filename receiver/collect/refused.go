package collect

import (
	"cmp"
	"slices"
	"time"

	"ecluse/protocol/bundle"
)

const (
	// refusedKept bounds the table of refused sessions. A flood of forged announcements fills it; what no longer fits is
	// counted by reason alone.
	refusedKept = 256
	// refusedFor is how long an entry stands before a full table gives its place to another one.
	refusedFor = 10 * time.Minute
	// reportEvery is how often a refusal of one reason is reported.
	reportEvery = time.Minute
)

// Refusal is a session that was refused, and how often.
type Refusal struct {
	Sender  string // the sender's name; the key's fingerprint where it is not enrolled; empty where neither can be said
	Session uint64 // session number; 0 where it cannot be said
	Reason  bundle.Reason
	Count   uint64
	First   time.Time
	Last    time.Time
}

// refusedKey is what makes two refusals one.
type refusedKey struct {
	sender  string
	session uint64
	reason  bundle.Reason
}

// refusedTable counts refused sessions. Its size is bounded whatever a peer announces. One goroutine owns it.
type refusedTable struct {
	entries map[refusedKey]*Refusal
	told    map[bundle.Reason]time.Time
}

// add counts a refusal. report tells whether it is to be reported now: once in reportEvery for each reason.
func (t *refusedTable) add(now time.Time, sender string, session uint64, reason bundle.Reason) (r Refusal, report bool) {
	return t.addMany(now, sender, session, reason, 1)
}

// addMany counts n refusals of one kind.
func (t *refusedTable) addMany(now time.Time, sender string, session uint64, reason bundle.Reason, n uint64) (r Refusal, report bool) {
	if n == 0 {
		return Refusal{}, false
	}
	if t.entries == nil {
		t.entries, t.told = make(map[refusedKey]*Refusal), make(map[bundle.Reason]time.Time)
	}
	key := refusedKey{sender, session, reason}
	e := t.entries[key]
	if e == nil {
		if len(t.entries) >= refusedKept && !t.forget(now) {
			key = refusedKey{reason: reason}
			e = t.entries[key] // at most one more for each reason
		}
		if e == nil {
			e = &Refusal{Sender: key.sender, Session: key.session, Reason: reason, First: now}
			t.entries[key] = e
		}
	}
	e.Count += n
	e.Last = now
	if told, ok := t.told[reason]; !ok || now.Sub(told) >= reportEvery {
		t.told[reason] = now
		r = *e
		r.Sender, r.Session = sender, session
		return r, true
	}
	return Refusal{}, false
}

// forget drops the entry that stood still the longest, if that is long enough.
func (t *refusedTable) forget(now time.Time) bool {
	var oldest *Refusal
	var at refusedKey
	for k, e := range t.entries {
		if oldest == nil || e.Last.Before(oldest.Last) {
			oldest, at = e, k
		}
	}
	if now.Sub(oldest.Last) < refusedFor {
		return false
	}
	delete(t.entries, at)
	return true
}

// all gives the entries in the order of their first refusal.
func (t *refusedTable) all() []Refusal {
	all := make([]Refusal, 0, len(t.entries))
	for _, e := range t.entries {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Session, b.Session),
			cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
