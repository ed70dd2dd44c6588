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
	at       time.Time          // by the monotonic clock
	signed   *quarantine.Signed // the papers; nil: they are read again
	signers  quarantine.Signers // by whose word they hold
	prepared bool               // for its destination; that counts only with an intent on record
}

// fresh notes that all content of a bundle was held against its manifest by this process just now, and its papers against signers, unless they are nil.
func (c *Chamber) fresh(id bundle.ID, f freshness) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var bytes int64
	for _, other := range c.verified {
		if other.signed != nil {
			bytes += other.signed.Manifest.Size
		}
	}
	if f.signed != nil && bytes+f.signed.Manifest.Size > freshBytes {
		f.signed = nil
	}
	f.at = time.Now()
	c.verified[id] = f
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

// freshOf is what was found right of a bundle, whose content need not be read again; false where that was too long ago.
func (c *Chamber) freshOf(id bundle.ID) (freshness, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.verified[id]
	return f, ok && time.Since(f.at) <= freshFor
}

// signedOf reads the papers of a bundle in quarantine and verifies them, unless that was done just now by the word of the same signers.
func (c *Chamber) signedOf(r *ledger.Record) (*quarantine.Signed, error) {
	if f, fresh := c.freshOf(r.Bundle); fresh && f.signed != nil && f.signers == c.o.Trust.Signers() {
		return f.signed, nil
	}
	return quarantine.ReadSigned(c.o.Disk, Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
}
