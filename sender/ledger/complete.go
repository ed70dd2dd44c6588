package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ecluse/protocol/bundle"
)

// uncounted is a signed manifest that its bundle's record does not count.
type uncounted struct {
	record *Record
	signed *Signed
}

// complete counts what the chains count. Of the names that the last batch gave, a power cut before the sync may keep the end of a chain and lose a record below it. What the record
// counts was durable before either had its name, so nothing is lost: without this the sequence would be left out for good, and the high side would miss it for ever.
//
//	chain:    ... 5 <- 6 <- 7      by its file, which the power cut kept
//	records:  ... 5    6    -      that of 7 says nothing of a sequence, or is not there, but its manifest is, and has the digest of the chain's end
func (l *Ledger) complete() error {
	lost := make(map[bundle.Digest]uncounted)
	held := make(map[place]*Record)
	note := func(r *Record) error {
		s, err := l.readSigned(r)
		switch {
		case err == nil:
			lost[s.Digest] = uncounted{r, s}
		case !damaged(err):
			return err
		}
		return nil
	}
	err := l.each(func(r *Record) error {
		if r.Epoch == l.epoch && r.Sequence != nil {
			held[place{r.Tenant, *r.Sequence}] = r
		}
		if r.Sequence != nil || r.State.Final() {
			return nil
		}
		return note(r)
	}, func(id bundle.ID) error {
		r, err := l.unnamed(id)
		if r == nil || err != nil {
			return err
		}
		return note(r)
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	for _, head := range l.chains {
		if head.Epoch == l.epoch {
			if err := l.walkDown(head, lost, held); err != nil {
				return err
			}
		}
	}
	return nil
}

// unnamed is the record of a bundle that was claimed, offered and signed in one batch, and whose record never had its name: it was durable beside its place. nil is none. What was purged
// leaves none either: purging takes the record first, and what may have been prepared since is of a bundle that had ended.
func (l *Ledger) unnamed(id bundle.ID) (*Record, error) {
	text, err := l.disk.Prepared(filepath.Join(l.bundleDir(id), claimName), recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", id, err)
	}
	r, err := parseRecord(l.dir, id, text)
	if err != nil || r.State.Final() {
		return nil, nil // it was being written when the power went
	}
	r.Sequence = nil
	return r, nil
}

// place is a bundle's place in a chain of this epoch.
type place struct {
	tenant   bundle.Name
	sequence uint64
}

// walkDown follows a chain from its end, as far as one batch may reach, and counts what its records lost.
func (l *Ledger) walkDown(head Link, lost map[bundle.Digest]uncounted, held map[place]*Record) error {
	digest := head.Digest
	for n := head.Sequence; n > 0 && n+batchMost > head.Sequence; n-- {
		if r := held[place{head.Tenant, n}]; r != nil {
			s, err := l.Signed(r)
			if damaged(err) || err == nil && s.Digest != digest {
				return nil // settle judges it
			}
			if err != nil {
				return err
			}
			digest = s.Previous
			continue
		}
		u, ok := lost[digest]
		if !ok || u.record.Tenant != head.Tenant || u.signed.Sequence != n {
			return nil // left out by an earlier life, or purged
		}
		u.record.Epoch, u.record.Sequence = l.epoch, &u.signed.Sequence
		text, err := json.Marshal(u.record)
		if err == nil {
			err = l.disk.Replace(filepath.Join(l.bundleDir(u.record.Bundle), claimName), text)
		}
		if err != nil {
			return fmt.Errorf("write the record of %s: %w", u.record.Bundle, err)
		}
		digest = u.signed.Previous
	}
	return nil
}
