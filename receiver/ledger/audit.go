package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// What becomes of a bundle stands in the audit log too. The entries of a group of records go to the disk before the first of its two syncs, and the records get their names between the two:
//
//	contents of records, entries      sync      names      sync      told to those who wait
//
// So no change has a name that has no entry. The other way round a crash, or an error at a name, may leave an entry whose change did not become durable. An entry carries the digest of the
// record to which it led; a start holds the entries behind the last checkpoint against what stands there, and where they differ an entry `stands` says what does.

// said is an entry of the batch under way.
type said struct {
	id    bundle.ID
	entry audit.Entry
}

// Entries are what a change of a record is in the audit log, in the order in which it came about. before is nil where nothing was known.
func Entries(before, after *Record, now time.Time) (list []audit.Entry) {
	if before == nil {
		before = &Record{}
	}
	add := func(event string, fill func(e *audit.Entry)) {
		e := audit.Entry{At: now, Event: event, Bundle: after.Bundle.String(), Tenant: string(after.Tenant), Sender: string(after.Sender), State: string(after.State)}
		fill(&e)
		list = append(list, e)
	}
	for _, i := range after.Inspections {
		known := slices.IndexFunc(before.Inspections, func(o Inspection) bool {
			return o.Inspector == i.Inspector && o.At.Equal(i.At) && o.Verdict == i.Verdict
		})
		switch {
		case known < 0:
			add("inspected", func(e *audit.Entry) { e.Verdict, e.Text, e.Data = string(i.Verdict), i.Inspector, asJSON(i) })
		case i.Seen != nil && before.Inspections[known].Seen == nil:
			add("seen", func(e *audit.Entry) { e.Who, e.Text, e.Data = i.Seen.Who, i.Inspector, asJSON(i) })
		}
	}
	for _, d := range after.Decisions[min(len(before.Decisions), len(after.Decisions)):] {
		add("decided", func(e *audit.Entry) {
			e.Who, e.Text, e.Data = cmp.Or(d.Officer, d.Who), map[bool]string{true: "approve", false: "reject"}[d.Approve], asJSON(d)
		})
	}
	for _, d := range after.Deliveries {
		i := slices.IndexFunc(before.Deliveries, func(o Delivery) bool { return o.Destination == d.Destination })
		switch {
		case d.Done != nil && (i < 0 || before.Deliveries[i].Done == nil):
			add("delivered", func(e *audit.Entry) { e.Text, e.Data = d.Destination, asJSON(d) })
		case d.Error != "" && (i < 0 || before.Deliveries[i].Error != d.Error):
			add("undelivered", func(e *audit.Entry) { e.Text, e.Data = d.Destination, asJSON(d) })
		case d.Name != "" && (i < 0 || before.Deliveries[i].Name != d.Name): // from here on it may stand there
			add("delivering", func(e *audit.Entry) { e.Text, e.Data = d.Destination, asJSON(d) })
		}
	}
	if before.State != after.State || value(before.Reason) != value(after.Reason) || value(before.Verdict) != value(after.Verdict) {
		event := string(after.State)
		if before.State == after.State {
			event = "judged" // it stays what it is, and another verdict or reason is known
		}
		add(event, func(e *audit.Entry) {
			e.Reason, e.Verdict, e.Text, e.Sequence, e.Name = value(after.Reason), string(value(after.Verdict)), after.Detail, value(after.Sequence), value(after.Name)
			if after.Manifest != nil && before.Manifest == nil {
				e.Data = asJSON(verified{after.Manifest, after.Key, after.Epoch, after.Files, after.Bytes})
			}
		})
	}
	if before.Purged == nil && after.Purged != nil {
		add("cleared", func(*audit.Entry) {}) // its content is gone, and the record stays
	}
	return list
}

// noted is the entry of a record of which nothing has changed that has a name: it is another one all the same.
func noted(r *Record, now time.Time) audit.Entry {
	return audit.Entry{At: now, Event: "noted", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), Sender: string(r.Sender), State: string(r.State), Sequence: value(r.Sequence)}
}

// verified is what is known of a bundle from the time at which its manifest was.
type verified struct {
	Manifest *Manifest    `json:"manifest"`
	Key      string       `json:"key"`
	Epoch    bundle.Epoch `json:"epoch"`
	Files    *int64       `json:"files"`
	Bytes    *int64       `json:"bytes"`
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// asJSON writes what stood in a record already.
func asJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("ledger: internal error: " + err.Error())
	}
	return text
}

// What the text of an approved record has of attempts: retryText of one that is under way, and, as attempt finds it, what they have begun at a destination and not ended, which is another thing with each
// that begins anew. Within a string neither can stand: there a quote has a backslash before it.
const (
	retryText    = `,"retry":true`
	begunText    = `,"begun":"`
	approvedText = `,"state":"approved"`
)

var attempt = regexp.MustCompile(begunText + `(?:[^"\\]|\\.)*"`)

// digestOf is the digest of a record's text, without what is said of attempts: each would have an entry of its own.
func digestOf(text []byte) string {
	text = bytes.ReplaceAll(text, []byte(retryText), nil)
	if bytes.Contains(text, []byte(begunText)) && bytes.Contains(text, []byte(approvedText)) { // what has ended has an entry when it is taken back
		text = attempt.ReplaceAll(text, nil)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// SetAudit has the book write to an audit log from now on. It is called before Run, and first settles what an earlier life has left.
func (l *Ledger) SetAudit(a *audit.Log) error {
	if err := l.holdAudit(a); err != nil {
		return err
	}
	tail := a.Tail()
	var err error
	if a.Fresh() {
		err = errors.Join(a.Introduce(tail, Digests(l.disk, l.dir)), l.tellAgain(context.Background()))
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
	return l.settleAnchor()
}

// holdAudit holds the log against what the anchor remembers of it: a log that was put back to an older one, or removed, agrees with itself.
func (l *Ledger) holdAudit(a *audit.Log) error {
	l.anchor.mu.Lock()
	have := l.anchor.content.Audit
	l.anchor.mu.Unlock()
	if have == nil {
		return nil
	}
	root, err := a.RootAt(have.Size)
	if err == nil && root.String() == have.Root {
		return nil
	}
	size, _ := a.Place()
	l.anchor.mu.Lock()
	l.anchor.content.Audit = nil // what comes now is another one
	l.anchor.mu.Unlock()
	if a.Aside() {
		return nil
	}
	return a.SetAside(fmt.Sprintf("it has %d entries, and is not the one of which this receiver remembers %d: it was put back to an older one, or removed", size, have.Size))
}

// settleTail says what stands of that which the entries behind the last checkpoint tell.
func (l *Ledger) settleTail(a *audit.Log, tail []audit.Entry) error {
	last := make(map[string]audit.Entry)
	for _, e := range tail {
		switch {
		case e.Record != "" && e.Bundle != "":
			last[e.Bundle] = e
		case e.Event == "paired":
			if err := l.settlePairing(a, e); err != nil {
				return err
			}
		}
	}
	for _, id := range sortedKeys(last) {
		if err := l.settleOne(a, last[id]); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (l *Ledger) settleOne(a *audit.Log, last audit.Entry) error {
	id, err := bundle.ParseID(last.Bundle)
	if err != nil {
		return err
	}
	r, digest, err := readDigest(l.disk, l.dir, id)
	if err != nil || digest == last.Record {
		return err
	}
	return a.Append(stands(r, id, digest, "the change before was not durable when this receiver ended"))
}

// stands is the entry that says what is true after entries that did not become so.
func stands(r *Record, id bundle.ID, digest, why string) audit.Entry {
	e := audit.Entry{Event: "stands", Bundle: id.String(), Record: digest, Text: why}
	if r != nil {
		e.Tenant, e.Sender, e.State = string(r.Tenant), string(r.Sender), string(r.State)
	}
	return e
}

// readDigest reads a record and its digest, or gives nil and audit.Gone.
func readDigest(disk Disk, dir string, id bundle.ID) (*Record, string, error) {
	file, err := disk.ReadFile(RecordPath(dir, id), recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, audit.Gone, nil
	}
	if err != nil {
		return nil, "", err
	}
	text, _, err := journal.Open(file)
	if err != nil {
		return nil, digestOf(file), nil // it is damaged, and Open has said so
	}
	r, _ := parseRecord(text, id)
	return r, digestOf(text), nil
}

func (l *Ledger) settlePairing(a *audit.Log, e audit.Entry) error {
	var p pairing
	if err := json.Unmarshal(e.Data, &p); err != nil {
		return err
	}
	l.mu.Lock()
	status := l.chains[bundle.Name(e.Sender)].status(p.Epoch)
	l.mu.Unlock()
	if status != bundle.EpochUnknown {
		return nil
	}
	return a.Append(audit.Entry{Event: "unpaired", Sender: e.Sender, Data: e.Data, Text: "the pairing before was not durable when this receiver ended"})
}

// pairing is what an entry says of one.
type pairing struct {
	Epoch bundle.Epoch `json:"epoch"`
}

// Digests gives of each bundle that has a record in a state the digest of what stands there.
func Digests(disk Disk, dir string) audit.Records {
	return func(yield func(bundle, digest string) error) error { return eachDigest(disk, dir, yield) }
}

func eachDigest(disk Disk, dir string, yield func(bundle, digest string) error) error {
	root := filepath.Join(dir, "bundles")
	groups, err := disk.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, g := range groups {
		if !isGroup(g) {
			continue
		}
		names, err := disk.ReadDir(filepath.Join(root, g))
		if err != nil {
			return err
		}
		for _, n := range names {
			name, ok := strings.CutSuffix(n, ".json")
			id, err := bundle.ParseID(name)
			if !ok || err != nil {
				continue
			}
			_, digest, err := readDigest(disk, dir, id)
			if err == nil && digest != audit.Gone {
				err = yield(id.String(), digest)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// write appends the entries of the batch, but for the records that have failed already. The last one of each bundle has the digest of its record.
func (l *Ledger) write(failed map[bundle.ID]error) error {
	if l.audit == nil {
		return nil
	}
	list := make([]audit.Entry, 0, len(l.said))
	last := make(map[bundle.ID]int, len(l.texts))
	for _, s := range l.said {
		if failed[s.id] == nil {
			last[s.id] = len(list)
			list = append(list, s.entry)
		}
	}
	for _, id := range l.writtenOf(failed) {
		at, told := last[id]
		if !told && l.staged[id].retries(l.before[id]) {
			continue // its digest is what it was
		}
		if !told {
			at = len(list)
			list = append(list, noted(l.staged[id], l.now().UTC()))
		}
		list[at].Record = l.digests[id]
	}
	if err := l.audit.Append(list...); err != nil {
		return err
	}
	l.said = l.said[:0]
	return nil
}

// tellRest gives the log what is no record's change, and happened. Where the disk is full it comes later.
func (l *Ledger) tellRest(failed map[bundle.ID]error) {
	if l.audit == nil {
		return
	}
	for _, s := range l.said {
		if failed[s.id] == nil {
			l.audit.Tell(s.entry)
		}
	}
	l.said = l.said[:0]
}

// unsay tells of records whose names could not be given after their entries were written.
func (l *Ledger) unsay(failed map[bundle.ID]error, written []bundle.ID) {
	if l.audit == nil {
		return
	}
	for _, id := range written {
		if failed[id] == nil {
			continue
		}
		if r, digest, err := readDigest(l.disk, l.dir, id); err == nil {
			l.audit.Tell(stands(r, id, digest, "the disk did not take the change before"))
		}
	}
}

// unpurge tells of records that could not be removed.
func (l *Ledger) unpurge(records []*Record) {
	if l.audit == nil {
		return
	}
	for _, r := range records {
		if r, digest, err := readDigest(l.disk, l.dir, r.Bundle); err == nil && digest != audit.Gone {
			l.audit.Tell(stands(r, r.Bundle, digest, "it could not be removed"))
		}
	}
}

// writtenOf are the records of the batch that have not failed yet, sorted.
func (l *Ledger) writtenOf(failed map[bundle.ID]error) (ids []bundle.ID) {
	for id := range l.texts {
		if failed[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b bundle.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// settleEvery is how often in seconds a checkpoint is made while there is something new. What lies behind the newest is what a start has to settle.
const settleEvery = 10

// settleAudit makes a checkpoint. It is called between two groups, so whatever has an entry is durable or was taken back.
func (l *Ledger) settleAudit() error {
	if l.audit == nil {
		return nil
	}
	if err := l.audit.Settle(); err != nil {
		return err
	}
	c := l.audit.Checkpoint()
	l.anchor.audited(c.Size, c.Root)
	return nil
}

// audited notes how far the log is durable.
func (a *anchor) audited(size uint64, root tlog.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if have := a.content.Audit; have == nil || have.Size < size {
		a.content.Audit = &AuditPlace{size, root.String()}
		a.behind = len(copies)
	}
}

// AuditPlace is what the anchor remembers of the audit log.
type AuditPlace struct {
	Size uint64 `json:"size"`
	Root string `json:"root"`
}

// purged tells of records that are about to go. It is durable before they do.
func (l *Ledger) purged(records []*Record, now time.Time) error {
	if l.audit == nil {
		return nil
	}
	var list []audit.Entry
	for _, r := range records {
		list = append(list, audit.Entry{At: now, Event: "purged", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), Sender: string(r.Sender), State: string(r.State), Record: audit.Gone})
	}
	slices.SortFunc(list, func(a, b audit.Entry) int { return cmp.Compare(a.Bundle, b.Bundle) })
	return l.audit.Append(list...)
}

// pairing tells of an epoch that is about to be made the accepted one. Should a crash keep it from that, the next start says so.
func (l *Ledger) pairing(sender bundle.Name, epoch bundle.Epoch) error {
	if l.audit == nil {
		return nil
	}
	return l.roomy(func() error {
		return l.audit.Append(audit.Entry{Event: "paired", Sender: string(sender), Data: asJSON(pairing{epoch})})
	})
}
