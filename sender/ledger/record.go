package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
)

// Record is all that is known of one bundle: claim.json, and what the commands print.
type Record struct {
	Bundle     bundle.ID    `json:"bundle"`
	Tenant     bundle.Name  `json:"tenant"`
	Epoch      bundle.Epoch `json:"epoch"`
	Sequence   *uint64      `json:"sequence"`
	Name       string       `json:"name"`
	State      State        `json:"state"`
	Reason     *string      `json:"reason"`
	Priority   bundle.Class `json:"priority"`
	Files      *int64       `json:"files"`
	Bytes      *int64       `json:"bytes"`
	SentBytes  int64        `json:"sent_bytes"`
	PassesDone int          `json:"passes_done"`
	Created    time.Time    `json:"created"`
	Finished   *time.Time   `json:"finished"`
	Chunks     *int64       `json:"chunks,omitempty"`
	Dirs       *int64       `json:"dirs,omitempty"`

	Asked []ticket.Range `json:"asked,omitempty"` // while it is sent again: the chunks; none is all of them

	Counted *time.Time `json:"counted,omitempty"` // when its first passes were out: the month in which it counts
	Cleared *time.Time `json:"cleared,omitempty"` // when a receipt let it go
	Link    []LinkUse  `json:"link,omitempty"`    // of all its passes and repairs, by month
}

// LinkUse is what passes took of the link in one month.
type LinkUse struct {
	Month usage.Month    `json:"month"`
	Wire  int64          `json:"wire"`    // bytes, with parity and all headers
	Time  usage.LinkTime `json:"seconds"` // at the rate that the link had then
}

// Took notes what a pass took of the wire.
func (r *Record) Took(at time.Time, wire, rate int64) {
	if wire <= 0 {
		return
	}
	m := usage.MonthOf(at)
	i := slices.IndexFunc(r.Link, func(u LinkUse) bool { return u.Month == m })
	if i < 0 {
		i, r.Link = len(r.Link), append(r.Link, LinkUse{Month: m})
	}
	r.Link[i].Wire += wire
	r.Link[i].Time += usage.LinkTimeOf(wire, rate)
}

// count notes when a bundle began to count, and when a receipt let it go.
func (r *Record) count(at time.Time) {
	if r.Counted == nil && (r.State == Sent || r.State == Confirmed) {
		r.Counted = &at
	}
	if r.Cleared == nil && r.State == Confirmed {
		r.Cleared = copied(&at)
	}
}

// countOld has a record that was written before there was an account count from its end.
func (r *Record) countOld() {
	if r.Counted == nil && r.Finished != nil && (r.State == Sent || r.State == Confirmed) {
		r.Counted = copied(r.Finished)
	}
}

// clone copies a record, so that whoever reads one is not told of a change that is not durable.
func (r *Record) clone() *Record {
	c := *r
	c.Sequence, c.Reason, c.Finished = copied(r.Sequence), copied(r.Reason), copied(r.Finished)
	c.Files, c.Bytes, c.Chunks, c.Dirs = copied(r.Files), copied(r.Bytes), copied(r.Chunks), copied(r.Dirs)
	c.Counted, c.Cleared = copied(r.Counted), copied(r.Cleared)
	c.Asked, c.Link = slices.Clone(r.Asked), slices.Clone(r.Link)
	return &c
}

// Copy is a copy that does not change with the record.
func (r *Record) Copy() *Record { return r.clone() }

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// normalize gives a record the one form in which it is kept: times in UTC, and a priority.
func (r *Record) normalize() {
	r.Created = r.Created.UTC()
	if r.Finished != nil {
		t := r.Finished.UTC()
		r.Finished = &t
	}
	if r.Priority == 0 {
		r.Priority = bundle.Normal
	}
}

const (
	claimName   = "claim.json"
	recordLimit = 1 << 20
)

// BundleDir is where a bundle's papers stand under the state directory.
func BundleDir(state string, id bundle.ID) string {
	return filepath.Join(state, "bundles", id.String())
}

func (l *Ledger) bundleDir(id bundle.ID) string { return BundleDir(l.dir, id) }

// errTorn says that a file holds nothing: a power cut came between its rename and its content, before the sync that would have made both durable.
var errTorn = errors.New("the file is torn")

func torn(text []byte) bool { return len(bytes.Trim(text, "\x00")) == 0 }

// ReadRecord reads a bundle's claim.json, or returns ErrNotFound.
func ReadRecord(disk Disk, state string, id bundle.ID) (*Record, error) {
	text, err := disk.ReadFile(filepath.Join(BundleDir(state, id), claimName), recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", id, err)
	}
	return parseRecord(state, id, text)
}

func parseRecord(state string, id bundle.ID, text []byte) (*Record, error) {
	if torn(text) {
		return nil, fmt.Errorf("read the record of %s: %w", id, errTorn)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, damagedRecord(state, id, err)
	}
	if _, err := ParseState(string(r.State)); err != nil || r.Bundle != id {
		return nil, damagedRecord(state, id, fmt.Errorf("it is of bundle %s, state %q", r.Bundle, r.State))
	}
	r.countOld()
	return &r, nil
}

// damagedRecord says what a person can do about a record that holds something else.
func damagedRecord(state string, id bundle.ID, why error) error {
	return fmt.Errorf("the record of %s is damaged: %w; restore %s from a backup, or move it away, and the bundle is forgotten here", id, why, BundleDir(state, id))
}

// Get returns a copy of a bundle's record, or ErrNotFound.
func (l *Ledger) Get(id bundle.ID) (*Record, error) {
	l.mu.Lock()
	r := l.live[id]
	l.mu.Unlock()
	if r != nil {
		return r.clone(), nil
	}
	return ReadRecord(l.disk, l.dir, id)
}
