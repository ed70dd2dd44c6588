package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// What becomes of a bundle stands in the audit log too. The entries of a group go to the disk before the first of its two syncs, and the records get their names after it: no change has a
// name that has no entry. The other way round a crash, or an error at a name, may leave an entry whose change did not become durable. An entry carries the digest of the record to which
// it led; a start holds those behind the last checkpoint against what stands there, and where they differ an entry `stands` says what does.
//
// The log says when, by its own clock: that of the book goes with the machine's, which may be set back.

// said is what a change of the batch is in the audit log.
type said struct {
	id      bundle.ID
	entries []audit.Entry
}

// Entries are what a change of a record is in the audit log, in the order in which it came about. link is the new end of its chain, where it was signed.
func Entries(before, after *Record, link *Link) (list []audit.Entry) {
	add := func(event string, fill func(e *audit.Entry)) {
		e := audit.Entry{Event: event, Bundle: after.Bundle.String(), Tenant: string(after.Tenant), State: string(after.State)}
		fill(&e)
		list = append(list, e)
	}
	if link != nil {
		add("signed", func(e *audit.Entry) {
			e.Sequence, e.Name, e.Data = link.Sequence, after.Name, asJSON(signed{link.Digest, link.Epoch, after.Files, after.Bytes})
		})
	}
	if after.PassesDone > before.PassesDone {
		add("passed", func(e *audit.Entry) { e.Text = fmt.Sprintf("pass %d", after.PassesDone) })
	}
	if before.State != after.State || reasonOf(before) != reasonOf(after) {
		add(string(after.State), func(e *audit.Entry) {
			e.Reason = reasonOf(after)
			if before.State == "" || after.State.Final() {
				e.Name = after.Name
			}
			if after.Sequence != nil {
				e.Sequence = *after.Sequence
			}
			if before.State.Final() && after.State == Sending {
				e.Text = "it is sent again"
				e.Data = asJSON(struct {
					Asked any `json:"asked"` // the chunks; null is all of them
				}{after.Asked})
			}
		})
	}
	return list
}

// noted is the entry of a record of which nothing has changed that has a name: it is another one all the same.
func noted(r *Record) audit.Entry {
	return audit.Entry{Event: "noted", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), State: string(r.State)}
}

// signed is what is known of a bundle from the time at which its manifest was signed.
type signed struct {
	Manifest bundle.Digest `json:"manifest"`
	Epoch    bundle.Epoch  `json:"epoch"`
	Files    *int64        `json:"files"`
	Bytes    *int64        `json:"bytes"`
}

func reasonOf(r *Record) string {
	if r.Reason == nil {
		return ""
	}
	return *r.Reason
}

// asJSON writes what stood in a record already.
func asJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("ledger: internal error: " + err.Error())
	}
	return text
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// SetAudit has the book write to an audit log from now on. It is called before Run, and first settles what an earlier life has left.
func (l *Ledger) SetAudit(a *audit.Log) error {
	tail := a.Tail()
	var err error
	if a.Fresh() {
		err = a.Introduce(tail, Digests(l.disk, l.dir))
	}
	if err == nil {
		err = l.settleTail(a, tail)
	}
	l.audit = a
	if err == nil {
		if err = l.settleAudit(); catalog.NoRoom(err) {
			err = nil // a later one finds the tail settled
		}
	}
	if err != nil {
		return fmt.Errorf("settle the audit log: %w", err)
	}
	return nil
}

// settleTail says what stands of that which the entries behind the last checkpoint tell.
func (l *Ledger) settleTail(a *audit.Log, tail []audit.Entry) error {
	last := make(map[string]string)
	var ids []string
	for _, e := range tail {
		if e.Record == "" || e.Bundle == "" {
			continue
		}
		if _, ok := last[e.Bundle]; !ok {
			ids = append(ids, e.Bundle)
		}
		last[e.Bundle] = e.Record
	}
	slices.Sort(ids)
	for _, text := range ids {
		id, err := bundle.ParseID(text)
		if err != nil {
			return err
		}
		digest, err := readDigest(l.disk, l.dir, id)
		if err == nil && digest != last[text] {
			err = a.Append(l.stands(id, digest, "the change before was not durable when this sender ended, or its start has mended it"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stands is the entry that says what is true after entries that did not become so.
func (l *Ledger) stands(id bundle.ID, digest, why string) audit.Entry {
	e := audit.Entry{Event: "stands", Bundle: id.String(), Record: digest, Text: why}
	if r, err := ReadRecord(l.disk, l.dir, id); err == nil {
		e.Tenant, e.State = string(r.Tenant), string(r.State)
	}
	return e
}

// readDigest gives the digest of a record, or audit.Gone.
func readDigest(disk Disk, dir string, id bundle.ID) (string, error) {
	text, err := disk.ReadFile(filepath.Join(BundleDir(dir, id), claimName), recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Gone, nil
	}
	return digestOf(text), err
}

// Digests gives of each bundle that has a record in a state the digest of what stands there.
func Digests(disk Disk, dir string) audit.Records {
	return func(yield func(bundle, digest string) error) error { return eachDigest(disk, dir, yield) }
}

func eachDigest(disk Disk, dir string, yield func(bundle, digest string) error) error {
	names, err := disk.ReadDir(filepath.Join(dir, "bundles"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range names {
		id, err := bundle.ParseID(n)
		if err != nil {
			continue
		}
		digest, err := readDigest(disk, dir, id)
		if err == nil && digest != audit.Gone {
			err = yield(id.String(), digest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeAudit appends the entries of the batch, each bundle's last one with the digest of its record.
func (l *Ledger) writeAudit() error {
	if l.audit == nil {
		return nil
	}
	var list []audit.Entry
	last := make(map[bundle.ID]int)
	for _, s := range l.said {
		if list = append(list, s.entries...); len(s.entries) > 0 {
			last[s.id] = len(list) - 1
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(l.texts), func(a, b bundle.ID) int { return bytes.Compare(a[:], b[:]) }) {
		f := l.texts[id]
		at, told := last[id]
		if !told && bytes.Equal(f.text, f.before) {
			continue
		}
		if !told {
			at = len(list)
			list = append(list, noted(l.staged[id]))
		}
		list[at].Record = digestOf(f.text)
	}
	return l.audit.Append(list...)
}

// unsay tells what stands of a batch that was taken back after its entries were written.
func (l *Ledger) unsay(err error) error {
	if l.audit == nil || errors.Is(err, ErrFatal) {
		return err
	}
	told := make(map[bundle.ID]bool)
	for _, s := range l.said {
		if !told[s.id] {
			told[s.id] = true
			l.tellStands(s.id, "the disk did not take the change before")
		}
	}
	return err
}

func (l *Ledger) tellStands(id bundle.ID, why string) {
	if l.audit == nil {
		return
	}
	if digest, err := readDigest(l.disk, l.dir, id); err == nil {
		l.audit.Tell(l.stands(id, digest, why))
	}
}

const (
	// settleEvery is how often in seconds a checkpoint is made while there is something new. What lies behind the newest is what a start has to settle.
	settleEvery = 10
	// settleMost is how many entries may lie there while there is no second without work.
	settleMost = 20_000
)

// settleAudit makes a checkpoint. It is called between two groups, so whatever has an entry is durable or was taken back.
func (l *Ledger) settleAudit() error {
	if l.audit == nil {
		return nil
	}
	return l.audit.Settle()
}

// settleMany makes one where many entries have come since the last.
func (l *Ledger) settleMany() error {
	if l.audit == nil {
		return nil
	}
	if size, _ := l.audit.Place(); size < l.audit.Checkpoint().Size+settleMost {
		return nil
	}
	return l.settled(l.settleAudit())
}

// settled says what an error of a checkpoint is worth: where there is no room for one it comes later, and whatever else it was the disk has been asked to sync and did not.
func (l *Ledger) settled(err error) error {
	if err == nil || catalog.NoRoom(err) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrFatal, err)
}

// purged tells of records that are about to go, durably.
func (l *Ledger) purged(records []*Record) error {
	if l.audit == nil || len(records) == 0 {
		return nil
	}
	var list []audit.Entry
	for _, r := range records {
		list = append(list, audit.Entry{Event: "purged", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), State: string(r.State), Record: audit.Gone})
	}
	if err := l.roomy(func() error { return l.audit.Append(list...) }); err != nil {
		return err
	}
	if err := l.audit.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	return nil
}
