package chamber

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
)

// reservation is what an admitted bundle takes of the disk until it stands in quarantine.
type reservation struct {
	tenant  bundle.Name
	bytes   int64
	files   int64
	damaged time.Time // since when nothing of it comes; zero while it comes
}

// lendAfter is how long after nothing of a bundle has come its place is lent to others. What is here of it is on the disk and counts; when the rest comes after all it is counted again,
// room or not: what is staged of it is not thrown away for that.
const lendAfter = 10 * time.Minute

// Offered implements assemble.Owner.
func (c *Chamber) Offered(s assemble.Source, o *record.Offer, received time.Time) error {
	switch surplus, err := c.surplus(s, o.Bundle); {
	case err != nil:
		return assemble.Later
	case surplus:
		return assemble.Swallow
	}
	refused := c.admit(s, o)
	if refused != nil && !isRejection(refused) {
		// Ours. A refusal would stand for good, so nothing is said of the bundle: its offer is repeated.
		c.o.Log.Error("cannot admit", fields(o.Bundle, s, o.Tenant, refused)...)
		return assemble.Later
	}
	if refused == nil {
		c.admitted(o.Bundle)
	}
	c.offered(s, o, received, refused, c.coming(o.Bundle))
	return refused
}

// Wanted says whether a bundle that an earlier life had begun to receive is still to be received, and reserves its place. It was admitted then, and what came of it
// is on the disk: quota and space are not asked again.
func (c *Chamber) Wanted(id bundle.ID, s assemble.Source, o *record.Offer, received time.Time) bool {
	surplus, err := c.surplus(s, id)
	if surplus && err == nil {
		return false
	}
	refused := c.permit(s.Sender, o.Tenant)
	c.offered(s, o, received, refused, true)
	if refused != nil {
		return false
	}
	c.mu.Lock()
	c.reserved[id] = reservationOf(o)
	c.mu.Unlock()
	return true
}

// Known implements assemble.Owner. Of what was refused for want of room each pass may bring the whole, in one offer: it is not known.
func (c *Chamber) Known(id bundle.ID) bool {
	r, err := c.o.Ledger.Get(id)
	return err == nil && r.Settled()
}

// surplus says whether nothing more of a bundle is wanted: it was finished before, or is another sender's.
func (c *Chamber) surplus(s assemble.Source, id bundle.ID) (bool, error) {
	known, err := c.o.Ledger.Get(id)
	switch {
	case err == nil:
		return known.Settled() || known.Sender != s.Sender, nil
	case errors.Is(err, ledger.ErrNotFound):
		return false, nil
	}
	c.o.Log.Error("look a bundle up", zap.Stringer("bundle", id), zap.Error(err))
	return false, err
}

// coming says whether a bundle was admitted before, and is not whole.
func (c *Chamber) coming(id bundle.ID) bool {
	r, err := c.o.Ledger.Get(id)
	return err == nil && (r.State == ledger.Receiving || r.State == ledger.Damaged)
}

// offered notes what an offer says, and why it is refused if it is. A refusal that ends what was admitted has its record whatever there is of others like it: the log has told how it began.
func (c *Chamber) offered(s assemble.Source, o *record.Offer, received time.Time, refused error, ends bool) {
	if refused != nil && !c.worthNoting(s.Sender, o.Tenant, o.Bundle, refused, ends) {
		return
	}
	sender, epoch, tenant, name := s.Sender, o.Epoch, o.Tenant, o.Name
	files, bytes, created, at := int64(o.Files), int64(o.Bytes), time.Unix(o.Created, 0).UTC(), received.UTC()
	c.o.Ledger.Post(o.Bundle, func(r *ledger.Record) error {
		r.Tenant, r.Sender, r.Epoch, r.Name = tenant, sender, epoch, &name
		r.Files, r.Bytes, r.Created = &files, &bytes, &created
		if r.Received == nil || r.ForWantOfRoom() && refused == nil { // nothing of it was taken before
			r.Received = &at
		}
		r.State, r.MissingBytes, r.Reason, r.Detail = ledger.Receiving, &bytes, nil, ""
		if refused != nil {
			setReason(r, ledger.Refused, refused)
		}
		return nil
	}, c.posted)
	if refused != nil {
		c.o.Log.Warn("refused", fields(o.Bundle, s, o.Tenant, refused)...)
	}
}

// permit says whether a sender may use a tenant.
func (c *Chamber) permit(sender, tenant bundle.Name) error {
	if _, ok := c.o.Tenants[tenant]; !ok {
		return bundle.Reject(bundle.ReasonTenantUnknown, "G-2", "no tenant %q here", tenant)
	}
	if !c.o.Trust.allows(sender, tenant) {
		return bundle.Reject(bundle.ReasonTenantNotAllowed, "G-2", "sender %q may not use tenant %q", sender, tenant)
	}
	return nil
}

// admit decides whether a bundle may come in, and reserves what it needs.
func (c *Chamber) admit(s assemble.Source, o *record.Offer) error {
	if err := c.permit(s.Sender, o.Tenant); err != nil {
		return err
	}
	if err := c.closed(o.Tenant); err != nil {
		return err
	}
	err := c.place(o, nil)
	if isRejection(err) {
		// What is coming was counted whole, and a part of it takes its place on the disk already; what has just been quarantined was counted twice. A refusal stands for
		// good, so it is worth a look at every bundle.
		c.unreserveSettled()
		err = c.place(o, c.o.Assembler.Progress())
	}
	return err
}

// place finds a place for a bundle; arrived is what is on the disk of those that are coming.
func (c *Chamber) place(o *record.Offer, arrived map[bundle.ID]int64) error {
	bytes, inodes, err := c.o.Space()
	if err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	return c.reserve(o, c.o.Ledger.Held(o.Tenant), bytes-c.o.Reserve(), inodes, arrived)
}

// reserve takes a place for a bundle, if there is one beside what is held and what is coming.
func (c *Chamber) reserve(o *record.Offer, held, bytes, inodes int64, arrived map[bundle.ID]int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var coming, mine, files int64
	now := c.o.Now()
	for id, r := range c.reserved {
		if id == o.Bundle {
			continue
		}
		whole := r.bytes
		if arrived != nil && !r.damaged.IsZero() && now.Sub(r.damaged) >= lendAfter {
			whole, r.files = min(arrived[id], r.bytes), 0
		}
		coming += max(0, whole-arrived[id])
		files += r.files
		if r.tenant == o.Tenant {
			mine += whole
		}
	}
	if quota := c.o.Tenants[o.Tenant].Quota; quota > 0 && held+mine+int64(o.Bytes) > quota {
		return bundle.Reject(bundle.ReasonQuota, "G-2", "%d bytes beside %d held and %d coming are more than the quota of %d", o.Bytes, held, mine, quota)
	}
	if c.o.Envelope != nil {
		if err := c.o.Envelope(o.Tenant, mine, int64(o.Bytes)); err != nil {
			return err
		}
	}
	r := reservationOf(o)
	if free := bytes - coming; r.bytes > free {
		return bundle.Reject(bundle.ReasonDiskFull, "G-2", "%d bytes, and %d are free above the reserve", r.bytes, max(free, 0))
	}
	if inodes >= 0 && r.files > inodes-files {
		return bundle.Reject(bundle.ReasonDiskFull, "G-2", "%d files and directories, and %d inodes are free", r.files, max(inodes-files, 0))
	}
	c.reserved[o.Bundle] = r
	return nil
}

// reservationOf gives what an offer takes; every bundle has a few directories and papers beside its own.
func reservationOf(o *record.Offer) reservation {
	return reservation{tenant: o.Tenant, bytes: int64(o.Bytes), files: int64(o.Files) + int64(o.Dirs) + 16}
}

// rests notes whether anything of a bundle comes.
func (c *Chamber) rests(id bundle.ID, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.reserved[id]; ok {
		r.damaged = since
		c.reserved[id] = r
	}
}

func (c *Chamber) unreserve(id bundle.ID) {
	c.mu.Lock()
	delete(c.reserved, id)
	c.mu.Unlock()
}

// unreserveSettled gives the places free of bundles that are on record as held or ended.
func (c *Chamber) unreserveSettled() {
	c.mu.Lock()
	ids := slices.Collect(maps.Keys(c.reserved))
	c.mu.Unlock()
	for _, id := range ids {
		if c.Known(id) {
			c.unreserve(id)
		}
	}
}
