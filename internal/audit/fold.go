package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// What somebody from outside can have said without end is told one by one so often in an hour, and counted from there on:
//
//	refused  refused ... refused      foldAfter entries of one kind
//	refused-more                      "and 12345 more like it since ...", one a minute at the most, while there are some
//
// The hour begins with the first one. All such entries and what they count add up to all that was folded; after a crash at most what came since the last of them is missing; a
// `started` with no `stopped` before it tells of the crash.
const (
	foldAfter = 200
	foldHour  = time.Hour
	foldEvery = time.Minute
)

// Kind is what entries have in common that are folded. Its values have to come out of the configuration, not out of what is folded: there is a count for each.
type Kind struct{ Event, Sender, Tenant, Reason string }

// folds counts what is folded. It has a lock of its own: who asks it waits for no disk.
type folds struct {
	mu  sync.Mutex
	all map[Kind]*fold
}

type fold struct {
	began time.Time // its hour
	told  int
	since time.Time // the first one that is counted, and was in no entry
	until time.Time // the last
	more  uint64    // that are in no entry
	spoke time.Time // when the last entry was written, or counting began
}

// Fold says whether one more of a kind is to be told on its own. If not it is counted, and the caller says no more of it.
func (l *Log) Fold(k Kind) (folded bool) {
	now := l.o.Now()
	l.folds.mu.Lock()
	defer l.folds.mu.Unlock()
	f := l.folds.all[k]
	if f == nil {
		if l.folds.all == nil {
			l.folds.all = make(map[Kind]*fold)
		}
		f = &fold{began: now}
		l.folds.all[k] = f
	}
	if f.over(now) && f.more == 0 {
		*f = fold{began: now}
	}
	if f.told < foldAfter {
		f.told++
		return false
	}
	if f.more == 0 {
		f.since = now
		if f.spoke.IsZero() {
			f.spoke = now
		}
	}
	f.more++
	f.until = now
	return true
}

// over says whether its hour is; a clock that was set back ends it too.
func (f *fold) over(now time.Time) bool { return now.Sub(f.began) >= foldHour || now.Before(f.began) }

// Unfold tells of all that is counted, before a log is closed.
func (l *Log) Unfold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unfold(true)
}

// unfold tells of what is counted where it is time to, and forgets hours that are over. What there is no room for stays counted.
func (l *Log) unfold(now bool) {
	for _, k := range l.due(now) {
		e, told := l.foldEntry(k)
		if l.append([]Entry{e}) == nil {
			l.spoken(k, told)
		}
	}
}

// due are the kinds of which an entry is to be written.
func (l *Log) due(all bool) (kinds []Kind) {
	now := l.o.Now()
	l.folds.mu.Lock()
	defer l.folds.mu.Unlock()
	for k, f := range l.folds.all {
		switch {
		case f.more > 0 && (all || f.over(now) || now.Sub(f.spoke) >= foldEvery || now.Before(f.spoke)):
			kinds = append(kinds, k)
		case f.more == 0 && f.over(now):
			delete(l.folds.all, k)
		}
	}
	slices.SortFunc(kinds, func(a, b Kind) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return kinds
}

// foldEntry is the entry that tells of a kind, and what it counts.
func (l *Log) foldEntry(k Kind) (Entry, fold) {
	l.folds.mu.Lock()
	f := *l.folds.all[k]
	l.folds.mu.Unlock()
	since, until := f.since.UTC().Truncate(time.Millisecond), f.until.UTC().Truncate(time.Millisecond)
	data, err := json.Marshal(struct {
		Count uint64    `json:"count"`
		Since time.Time `json:"since"`
		Until time.Time `json:"until"`
	}{f.more, since, until})
	if err != nil {
		panic("audit: internal error: " + err.Error())
	}
	return Entry{
		Event: k.Event + "-more", Sender: k.Sender, Tenant: k.Tenant, Reason: k.Reason, Data: data,
		Text: fmt.Sprintf("and %d more like it since %s", f.more, since.Format(time.RFC3339)),
	}, f
}

// spoken takes what an entry has told off the count.
func (l *Log) spoken(k Kind, told fold) {
	now := l.o.Now()
	l.folds.mu.Lock()
	defer l.folds.mu.Unlock()
	f := l.folds.all[k]
	f.more -= told.more
	f.since, f.spoke = told.until, now // what came while it was written came after that
}
