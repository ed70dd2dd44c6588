package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// The anchor is two copies of one sealed file, <state>/anchor-a and anchor-b. It remembers what must never go down, apart from what it is derived from:
//
//	chains     each sender's epoch in force, the epochs before it, the floors        (chains/)
//	sessions   each sender's highest session number in each epoch                    (sessions/)
//	marks      of each chain the highest manifest held, how many are on record, and the head that was heard of   (bundles/, the catalog)
//	commit     the number of the last group of records, which bundles/generation and the catalog hold too
//
// It says only what is durable elsewhere already: the copy that goes to the disk with one group of records tells of the group before, under the same sync. So it costs a bundle
// no sync of its own, and after a crash the rest is never behind it: what is behind was removed, or put back from an older copy, and that is a Doubt. What a crash left out of it
// is read from the rest; when nothing is committed it is written after a second by itself, and both copies are alike at rest.
type anchor struct {
	disk Disk
	dir  string

	mu      sync.Mutex // guards what follows
	counter uint64     // of the newest copy
	next    int        // the copy that is written next: the older one
	behind  int        // copies that do not tell what is known
	size    int        // of the last text

	content anchorText
	marks   map[Chain]*Mark
}

// anchorText is the file.
type anchorText struct {
	Format   string       `json:"format"`
	Counter  uint64       `json:"counter"`
	Commit   uint64       `json:"commit"`
	Rebase   bool         `json:"rebase,omitempty"` // a person has accepted a loss: the marks are taken from what is on record
	Chains   []*chains    `json:"chains"`
	Sessions []Session    `json:"sessions"`
	Marks    []Mark       `json:"marks"`
	Doubts   []Doubt      `json:"doubts"`
	Accepted []Acceptance `json:"accepted"`
	Audit    *AuditPlace  `json:"audit,omitempty"` // how far the audit log was durable
}

// Session is the highest session number of a sender's key in one epoch.
type Session struct {
	Sender       bundle.Name   `json:"sender"`
	Key          bundle.Digest `json:"key"`
	Epoch        bundle.Epoch  `json:"epoch"`
	Number       uint64        `json:"number"`
	Announcement bundle.Digest `json:"announcement"`
}

// Mark is the high-water mark of one chain.
type Mark struct {
	Sender   bundle.Name   `json:"sender"`
	Tenant   bundle.Name   `json:"tenant"`
	Epoch    bundle.Epoch  `json:"epoch"`
	Sequence uint64        `json:"sequence"` // the highest that was held; 0: none
	Digest   bundle.Digest `json:"digest"`   // of its manifest
	Previous bundle.Digest `json:"previous"`
	Bundle   bundle.ID     `json:"bundle,omitzero"`
	Records  uint64        `json:"records"` // bundles of the chain that are on record as held
	Head     Head          `json:"head"`    // the highest that was heard of
}

// Doubt is one contradiction between the anchor and the rest of the state. Where it names a sequence, nothing of that chain at or below it is released by itself.
type Doubt struct {
	At       time.Time    `json:"at"`
	Text     string       `json:"text"`
	Sender   bundle.Name  `json:"sender,omitempty"`
	Tenant   bundle.Name  `json:"tenant,omitempty"`
	Epoch    bundle.Epoch `json:"epoch,omitzero"`
	Sequence uint64       `json:"sequence,omitempty"`
}

// Acceptance is what a person said to doubts.
type Acceptance struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	Doubts []string  `json:"doubts"`
}

const (
	anchorFormat = "ecluse-anchor-1"
	anchorLimit  = 64 << 20
	// anchorLarge is the size from which the anchor is written once a second, and not with every group: ten thousand chains take 4 MB.
	anchorLarge = 256 << 10
)

var copies = [2]string{"anchor-a", "anchor-b"}

// ErrAnchor is returned for a state whose memory of what has been here cannot be trusted.
var ErrAnchor = errors.New("the anchor is lost")

// AnchorHint is what a person can do about it.
const AnchorHint = "put it back from a backup; or, with the daemon stopped, `ecluse-receiver anchor --accept --reason TEXT` goes on with what is there: " +
	"a bundle whose record is lost may then be taken a second time"

// readAnchor reads both copies; found is how many are there, whole or not, and good how many are whole.
func readAnchor(disk Disk, dir string) (a *anchor, found, good int, err error) {
	a = &anchor{disk: disk, dir: dir, behind: 2, marks: make(map[Chain]*Mark), content: anchorText{Format: anchorFormat}}
	var texts [2]*anchorText
	for i, name := range copies {
		file, err := disk.ReadFile(filepath.Join(dir, name), anchorLimit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, 0, fmt.Errorf("read the anchor: %w", err)
		}
		found++
		if texts[i] = parseAnchor(file); texts[i] != nil {
			good++
		}
	}
	newest := texts[0]
	a.next = 1
	if b := texts[1]; newest == nil || b != nil && b.Counter > newest.Counter {
		newest, a.next = b, 0
	}
	if newest == nil {
		return a, found, good, nil
	}
	a.content, a.counter = *newest, newest.Counter
	if good == 2 && texts[0].Counter == texts[1].Counter {
		a.behind = 0
	}
	for _, m := range newest.Marks {
		a.marks[m.chain()] = &m
	}
	return a, found, good, nil
}

func (m *Mark) chain() Chain { return Chain{m.Sender, m.Tenant, m.Epoch} }

// parseAnchor returns nil for what is no whole copy.
func parseAnchor(file []byte) *anchorText {
	text, sealed, err := journal.Open(file)
	var t anchorText
	if err != nil || !sealed || json.Unmarshal(text, &t) != nil || t.Format != anchorFormat {
		return nil
	}
	return &t
}

// text gives what the older copy shall say, under the lock. heads are the ones that were heard of.
func (a *anchor) text(heads map[Chain]Head) ([]byte, error) {
	for p, h := range heads {
		if m := a.mark(p); m.Head.Sequence < h.Sequence {
			m.Head = h
		}
	}
	a.content.Counter = a.counter + 1
	a.content.Marks = a.content.Marks[:0]
	for _, m := range a.marks {
		a.content.Marks = append(a.content.Marks, *m)
	}
	slices.SortFunc(a.content.Marks, byChain)
	text, err := json.Marshal(&a.content)
	if err != nil {
		return nil, fmt.Errorf("write the anchor: %w", err)
	}
	a.size = len(text)
	return journal.Seal(text), nil
}

func (a *anchor) path() string { return filepath.Join(a.dir, copies[a.next]) }

// prepare writes the older copy beside its place.
func (a *anchor) prepare(heads map[Chain]Head) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, err := a.text(heads)
	if err == nil {
		err = a.disk.Prepare(a.path(), text)
	}
	return err
}

// place gives it its name, when it is durable.
func (a *anchor) place() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.disk.Place(a.path()) == nil {
		a.written()
	}
}

// written notes that the older copy is the newer one now, under the lock.
func (a *anchor) written() {
	a.counter++
	a.next = 1 - a.next
	a.behind = max(0, a.behind-1)
}

// replace writes the older copy durably.
func (a *anchor) replace(heads map[Chain]Head) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.replaceLocked(heads)
}

func (a *anchor) replaceLocked(heads map[Chain]Head) error {
	text, err := a.text(heads)
	if err != nil {
		return err
	}
	if err := a.disk.Replace(a.path(), text); err != nil {
		return fmt.Errorf("write the anchor: %w", err)
	}
	a.written()
	return nil
}

// both writes both copies alike, one after the other: a cut in between leaves one of them whole.
func (a *anchor) both(heads map[Chain]Head) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range copies {
		if err := a.replaceLocked(heads); err != nil {
			return err
		}
		a.counter--
	}
	a.counter, a.behind = a.counter+1, 0
	return nil
}

func byChain(x, y Mark) int {
	return cmp.Or(cmp.Compare(x.Sender, y.Sender), cmp.Compare(x.Tenant, y.Tenant), slices.Compare(x.Epoch[:], y.Epoch[:]))
}

func (a *anchor) mark(p Chain) *Mark {
	m := a.marks[p]
	if m == nil {
		m = &Mark{Sender: p.Sender, Tenant: p.Tenant, Epoch: p.Epoch}
		a.marks[p] = m
	}
	return m
}

// at gives a copy of a chain's mark.
func (a *anchor) at(p Chain) Mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.marks[p]; m != nil {
		return *m
	}
	return Mark{Sender: p.Sender, Tenant: p.Tenant, Epoch: p.Epoch}
}

func (a *anchor) touch() {
	a.mu.Lock()
	a.behind = len(copies)
	a.mu.Unlock()
}

// strangeChains bounds the chains of a sender in epochs that nobody has paired: all that comes of those is held anyway, and pairing one reads its mark from the records.
const strangeChains = 64

// committed takes in what a group of records has made durable. Nothing goes down.
func (a *anchor) committed(commit uint64, before, after map[bundle.ID]*Record, chains []*chains) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.content.Commit = max(a.content.Commit, commit)
	for _, c := range chains {
		a.chain(c)
	}
	for id, r := range after {
		if r.Held() && r.Sequence != nil && a.takes(Chain{r.Sender, r.Tenant, r.Epoch}) {
			m := a.mark(Chain{r.Sender, r.Tenant, r.Epoch})
			if b := before[id]; b == nil || !b.Held() {
				m.Records++
			}
			m.raise(*r.Sequence, r.Manifest.Digest, r.Manifest.Previous, id)
		}
	}
	a.behind = len(copies)
}

// takes says whether a mark is kept of a chain, under the lock.
func (a *anchor) takes(p Chain) bool {
	if a.marks[p] != nil {
		return true
	}
	var known *chains
	if i := slices.IndexFunc(a.content.Chains, func(c *chains) bool { return c.Sender == p.Sender }); i >= 0 {
		known = a.content.Chains[i]
	}
	if known.status(p.Epoch) != bundle.EpochUnknown {
		return true
	}
	n := 0
	for other := range a.marks {
		if other.Sender == p.Sender && known.status(other.Epoch) == bundle.EpochUnknown {
			n++
		}
	}
	return n < strangeChains
}

func (m *Mark) raise(sequence uint64, digest, previous bundle.Digest, id bundle.ID) {
	if sequence > m.Sequence {
		m.Sequence, m.Digest, m.Previous, m.Bundle = sequence, digest, previous, id
	}
}

// chain replaces what is remembered of one sender, under the lock.
func (a *anchor) chain(c *chains) {
	i := slices.IndexFunc(a.content.Chains, func(o *chains) bool { return o.Sender == c.Sender })
	if i < 0 {
		a.content.Chains = append(a.content.Chains, c)
		return
	}
	a.content.Chains = slices.Clone(a.content.Chains)
	a.content.Chains[i] = c
}

// lower takes records out that are about to be purged.
func (a *anchor) lower(records []*Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range records {
		if m := a.marks[Chain{r.Sender, r.Tenant, r.Epoch}]; m != nil && r.Held() && m.Records > 0 {
			m.Records--
		}
	}
	a.behind = len(copies)
}

// doubt notes a contradiction, once.
func (a *anchor) doubt(d Doubt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.ContainsFunc(a.content.Doubts, func(o Doubt) bool { o.At = d.At; return o == d }) {
		a.content.Doubts = append(a.content.Doubts, d)
		a.behind = len(copies)
	}
}

// doubted is the highest sequence of a chain that is in doubt, and since when.
func (a *anchor) doubted(p Chain) (sequence uint64, since time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.content.Doubts {
		if d.Sender == p.Sender && d.Tenant == p.Tenant && d.Epoch == p.Epoch && d.Sequence > sequence {
			sequence, since = d.Sequence, d.At
		}
	}
	return sequence, since
}

// needs says how many copies are behind, and whether the anchor is small enough to go with every group.
func (a *anchor) needs() (behind int, small bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.behind, a.size < anchorLarge
}

func (l *Ledger) heardOf() map[Chain]Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.heads)
}

// prepareAnchor writes one copy beside its place, to go with a group of records. It is false where it does not.
func (l *Ledger) prepareAnchor() bool {
	_, small := l.anchor.needs()
	return small && l.anchor.prepare(l.heardOf()) == nil
}

// flushAnchor writes a copy that is behind, durably.
func (l *Ledger) flushAnchor() error {
	if behind, _ := l.anchor.needs(); behind == 0 {
		return nil
	}
	return l.anchor.replace(l.heardOf())
}

// settleAnchor makes both copies tell all.
func (l *Ledger) settleAnchor() error {
	if behind, _ := l.anchor.needs(); behind == 0 {
		return nil
	}
	return l.anchor.both(l.heardOf())
}

// Doubts are the contradictions that stand: the state was put back from an older copy, in part, or a part of it was removed.
func (l *Ledger) Doubts() []Doubt {
	l.anchor.mu.Lock()
	defer l.anchor.mu.Unlock()
	return slices.Clone(l.anchor.content.Doubts)
}

// Doubted says why a bundle that stands at or below a doubted mark is not released: what was decided of it, or whether it has been here before, is not known any more. changed
// is when its record last changed, zero for one that arrives.
func (l *Ledger) Doubted(sender, tenant bundle.Name, epoch bundle.Epoch, sequence uint64, changed time.Time) error {
	mark, since := l.anchor.doubted(Chain{sender, tenant, epoch})
	if sequence > mark || !changed.IsZero() && changed.After(since) {
		return nil
	}
	return bundle.Reject(bundle.ReasonRollback, "Q-6", "this receiver's state was put back, or removed in part: up to sequence %d nobody can tell what has been here", mark)
}

// Contradict notes a contradiction that another room has found, durably; it is called before Run.
func (l *Ledger) Contradict(text string) error {
	l.anchor.doubt(Doubt{At: l.now().UTC(), Text: text})
	return l.settleAnchor()
}

// Session notes a session that was accepted, which is durable elsewhere. The number of a key in an epoch never goes down.
func (l *Ledger) Session(s Session) {
	a := l.anchor
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.content.Sessions, func(o Session) bool { return o.Sender == s.Sender && o.Key == s.Key && o.Epoch == s.Epoch })
	switch {
	case i < 0:
		a.content.Sessions = append(boundSessions(a.content.Sessions, s.Sender), s)
	case a.content.Sessions[i].Number < s.Number:
		a.content.Sessions = append(slices.Delete(a.content.Sessions, i, i+1), s) // the newest come last
	default:
		return
	}
	a.behind = len(copies)
}

// sessionsKept bounds the sessions that are remembered of one sender, as receiver/collect does: a key that may open sessions can name any epoch.
const sessionsKept = 32

func boundSessions(all []Session, sender bundle.Name) []Session {
	n, oldest := 0, -1
	for i, s := range all {
		if s.Sender == sender {
			if n++; oldest < 0 {
				oldest = i
			}
		}
	}
	if n < sessionsKept {
		return all
	}
	return slices.Delete(all, oldest, oldest+1)
}

// Sessions are the highest sessions that were ever accepted, of all senders; of one sender the oldest first.
func (l *Ledger) Sessions() []Session {
	l.anchor.mu.Lock()
	defer l.anchor.mu.Unlock()
	return slices.Clone(l.anchor.content.Sessions)
}
