package chamber

import (
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// freshFor is how long what this process has just read and found right need not be read again before it is moved.
const freshFor = time.Minute

// freshFiles is how many files the tables of papers have together that are kept for so long.
const freshFiles = 50_000

// freshness is what was found right, and when.
type freshness struct {
	at      time.Time          // by the monotonic clock
	signed  *quarantine.Signed // the papers; nil: they are read again
	signers quarantine.Signers // by whose word they hold
}

// fresh notes that all content of a bundle was held against its manifest by this process just now, and its papers against signers, unless they are nil.
func (c *Chamber) fresh(id bundle.ID, signed *quarantine.Signed, signers quarantine.Signers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, files := time.Now(), 0
	for old, f := range c.verified {
		if now.Sub(f.at) > freshFor {
			delete(c.verified, old)
		} else if f.signed != nil {
			files += f.signed.Manifest.Table.Files()
		}
	}
	if signed != nil && files+signed.Manifest.Table.Files() > freshFiles {
		signed = nil
	}
	c.verified[id] = freshness{now, signed, signers}
}

func (c *Chamber) stale(id bundle.ID) {
	c.mu.Lock()
	delete(c.verified, id)
	c.mu.Unlock()
}

func (c *Chamber) isFresh(id bundle.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.verified[id]
	return ok && time.Since(f.at) <= freshFor
}

// signedOf reads the papers of a bundle in quarantine and verifies them, unless that was done just now by the word of the same signers.
func (c *Chamber) signedOf(r *ledger.Record) (*quarantine.Signed, error) {
	c.mu.Lock()
	f := c.verified[r.Bundle]
	c.mu.Unlock()
	if f.signed != nil && time.Since(f.at) <= freshFor && f.signers == c.o.Trust.Signers() {
		return f.signed, nil
	}
	return quarantine.ReadSigned(c.o.Disk, Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
}
