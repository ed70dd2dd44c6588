package chamber

import (
	"maps"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// freshFor is how long what this process has just read and found right need not be read again before it is moved.
const freshFor = time.Minute

// freshBytes bounds the manifests that are kept for so long, in bytes of their text: a table in memory is of that order.
const freshBytes = 16 << 20

// freshness is what was found right, and when.
type freshness struct {
	at      time.Time          // by the monotonic clock
	signed  *quarantine.Signed // the papers; nil: they are read again
	signers quarantine.Signers // by whose word they hold
	ready   bool               // it stands ready for its destination, and the intent is on record
}

// fresh notes that all content of a bundle was held against its manifest by this process just now, and what else holds of it.
func (c *Chamber) fresh(id bundle.ID, now freshness) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var bytes int64
	for _, f := range c.verified {
		if f.signed != nil {
			bytes += f.signed.Manifest.Size
		}
	}
	if now.signed != nil && bytes+now.signed.Manifest.Size > freshBytes {
		now.signed = nil
	}
	now.at = time.Now()
	c.verified[id] = now
}

// forgetFresh forgets what is fresh no more.
func (c *Chamber) forgetFresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.verified, func(_ bundle.ID, f freshness) bool { return time.Since(f.at) > freshFor })
}

func (c *Chamber) stale(id bundle.ID) {
	c.mu.Lock()
	delete(c.verified, id)
	c.mu.Unlock()
}

// isFresh says whether a bundle's content need not be read again, and whether it stands ready besides.
func (c *Chamber) isFresh(id bundle.ID) (fresh, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.verified[id]
	fresh = ok && time.Since(f.at) <= freshFor
	return fresh, fresh && f.ready
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
