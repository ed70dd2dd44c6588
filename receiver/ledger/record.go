package ledger

import (
	"reflect"
	"slices"
	"time"

	"ecluse/protocol/bundle"
)

// Record is all that is known of one bundle: its record file, and what the commands print.
type Record struct {
	Bundle       bundle.ID    `json:"bundle"`
	Tenant       bundle.Name  `json:"tenant"`
	Sender       bundle.Name  `json:"sender"`
	Epoch        bundle.Epoch `json:"epoch"`
	Sequence     *uint64      `json:"sequence"`
	Name         *string      `json:"name"`
	State        State        `json:"state"`
	Verdict      *Verdict     `json:"verdict"`
	Reason       *string      `json:"reason"`
	Files        *int64       `json:"files"`
	Bytes        *int64       `json:"bytes"`
	MissingBytes *int64       `json:"missing_bytes"`
	Created      *time.Time   `json:"created"`
	Received     *time.Time   `json:"received"`
	Changed      time.Time    `json:"changed"`
	Manifest     *Manifest    `json:"manifest,omitempty"`
	Detail       string       `json:"detail,omitempty"`      // the reason in words, for a person
	Inspections  []Inspection `json:"inspections,omitempty"` // the latest of each inspector
	Decisions    []Decision   `json:"decisions,omitempty"`
	Deliveries   []Delivery   `json:"deliveries,omitempty"`
	Key          string       `json:"key,omitempty"` // fingerprint of the key that signed
	Purged       *time.Time   `json:"purged,omitempty"`
	Quarantined  *time.Time   `json:"quarantined,omitempty"` // the month in which it counts
	Over         *time.Time   `json:"ended,omitempty"`
}

// Manifest is a verified manifest's place in its chain.
type Manifest struct {
	Digest   bundle.Digest `json:"digest"`
	Previous bundle.Digest `json:"previous"`
}

// Held says that the bundle's manifest was verified and stands in the chain, whatever became of the bundle afterwards.
func (r *Record) Held() bool { return r.Manifest != nil }

// Inspection is what one inspector said of a bundle: the evidence for its verdict.
type Inspection struct {
	Inspector string     `json:"inspector"`
	Rules     string     `json:"rules,omitempty"`  // what the configuration said of it, by a sum; of the tenant's own rules the version says that
	Version   string     `json:"version"`          // of the rules or signatures by which it judged
	Signed    *time.Time `json:"signed,omitempty"` // when those signatures were made, where it says so
	Verdict   Verdict    `json:"verdict"`
	Findings  []Finding  `json:"findings,omitempty"`
	More      int        `json:"more,omitempty"` // findings beyond those
	Files     int64      `json:"files"`          // that it looked at
	At        time.Time  `json:"at"`
	Took      float64    `json:"took_seconds,omitempty"`
	Signers   []Signer   `json:"signers,omitempty"` // people who have signed content of it
	Seen      *Sight     `json:"seen,omitempty"`    // of what was flagged when it was delivered already
}

// Signer is a person whose signature of content was verified.
type Signer struct {
	Principal string `json:"principal"`
	Key       string `json:"key"`   // its fingerprint
	Files     int64  `json:"files"` // that she has signed
}

// Sight is that a person has seen something that somebody has to deal with.
type Sight struct {
	Who string    `json:"who"`
	UID uint32    `json:"uid"`
	At  time.Time `json:"at"`
}

// Unseen is the first inspection that flags what was delivered already, and that nobody has seen; nil for none.
func (r *Record) Unseen() *Inspection {
	if r.State != Imported && (r.State != Approved || !r.Begun()) {
		return nil
	}
	for i := range r.Inspections {
		if n := &r.Inspections[i]; n.Verdict == Flagged && n.Seen == nil {
			return n
		}
	}
	return nil
}

// Begun says that a delivery has begun, or has ended: what is to be delivered may stand at a destination.
func (r *Record) Begun() bool {
	return slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.May() })
}

// Finding is one thing that an inspector does not let pass.
type Finding struct {
	Reason bundle.Reason `json:"reason"`
	Path   string        `json:"path"`
	Text   string        `json:"text"`
}

// Decision is what one person decided. Where decisions are signatures Officer, Key, Document and Signature say who, and prove it to anybody; Who and UID are the account that brought it.
type Decision struct {
	Approve   bool          `json:"approve"`
	Who       string        `json:"who"` // the account's name, or uid:N
	UID       uint32        `json:"uid"`
	Reason    string        `json:"reason,omitempty"`
	At        time.Time     `json:"at"`
	Officer   string        `json:"officer,omitempty"`   // principal in the file of officers
	Key       string        `json:"key,omitempty"`       // its fingerprint
	Override  bundle.Reason `json:"override,omitempty"`  // the reason for which the bundle is flagged, approved all the same
	Document  string        `json:"document,omitempty"`  // the exact text that was signed (bundle.Decision)
	Signature string        `json:"signature,omitempty"` // armored
}

// Delivery is what is known of a bundle's way to one destination.
type Delivery struct {
	Destination string     `json:"destination"`
	Name        string     `json:"name,omitempty"`  // the final name there
	Inode       uint64     `json:"inode,omitempty"` // of what is to be renamed to it
	Moved       bool       `json:"moved,omitempty"` // that is the item in quarantine; else a copy at the destination
	Done        *time.Time `json:"done,omitempty"`
	Error       string     `json:"error,omitempty"`
	// Begun is, in the destination's words, what it has begun there and not ended, and can go on with. While the bundle is approved it is no part of the digest in the audit log, see digestOf: an attempt that fails for itself takes
	// it back, and the next begins another.
	Begun string `json:"begun,omitempty"`
	// Retry says, like Name, that it may stand there: another attempt is, or was, under way after one of which it is known that it brought nothing. Attempts come every few minutes while a
	// destination is away, and what is said of each for the time that it takes is no part of that digest either.
	Retry bool `json:"retry,omitempty"`
}

// May says that a bundle may stand at a destination, or does.
func (d *Delivery) May() bool { return d.Done != nil || d.Name != "" || d.Retry }

// Left says that something of a bundle that went nowhere else may be at the destination, and is to be taken back.
func (d *Delivery) Left() bool { return d.Begun != "" && d.Done == nil }

// Left says that a bundle has ended and was not delivered, and that something of it is left at a destination.
func (r *Record) Left() bool {
	return r.State.Ended() && r.State != Imported && slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.Left() })
}

// tookBack says that all that has changed since another one is that something that was begun is there no more.
func (r *Record) tookBack(since *Record) bool {
	if since == nil || len(r.Deliveries) != len(since.Deliveries) {
		return false
	}
	was, differs := since.clone(), false
	for i := range r.Deliveries {
		if r.Deliveries[i].Begun == "" && was.Deliveries[i].Begun != "" {
			was.Deliveries[i].Begun, differs = "", true
		}
	}
	return differs && reflect.DeepEqual(r.clone(), was)
}

// retries says that all that has changed of a record since another one is that attempts began or ended, or have begun something at a destination, of which the log tells nothing.
func (r *Record) retries(since *Record) bool {
	if since == nil || len(r.Deliveries) != len(since.Deliveries) {
		return false
	}
	differs := false
	for i := range r.Deliveries {
		now, was := &r.Deliveries[i], &since.Deliveries[i]
		differs = differs || now.Retry != was.Retry || r.State == Approved && now.Begun != was.Begun
	}
	if !differs {
		return false
	}
	a, b := r.clone(), since.clone()
	for i := range a.Deliveries {
		a.Deliveries[i].Retry, b.Deliveries[i].Retry = false, false
		if r.State == Approved {
			a.Deliveries[i].Begun, b.Deliveries[i].Begun = "", ""
		}
	}
	return reflect.DeepEqual(a, b)
}

// clone copies a record, so that whoever reads one is not told of a change that is not durable.
func (r *Record) clone() *Record {
	c := *r
	c.Sequence, c.Name, c.Verdict, c.Reason = copied(r.Sequence), copied(r.Name), copied(r.Verdict), copied(r.Reason)
	c.Files, c.Bytes, c.MissingBytes = copied(r.Files), copied(r.Bytes), copied(r.MissingBytes)
	c.Created, c.Received, c.Purged, c.Manifest = copied(r.Created), copied(r.Received), copied(r.Purged), copied(r.Manifest)
	c.Quarantined, c.Over = copied(r.Quarantined), copied(r.Over)
	c.Inspections = append([]Inspection(nil), r.Inspections...) // what is in one never changes
	c.Decisions = append([]Decision(nil), r.Decisions...)
	c.Deliveries = append([]Delivery(nil), r.Deliveries...)
	for i, n := range c.Inspections {
		c.Inspections[i].Seen = copied(n.Seen)
	}
	for i, d := range c.Deliveries {
		c.Deliveries[i].Done = copied(d.Done)
	}
	return &c
}

// Same says later whether a record still says what it says now.
func (r *Record) Same() func(*Record) bool {
	now := r.clone()
	return func(then *Record) bool { return reflect.DeepEqual(now, then.clone()) }
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
