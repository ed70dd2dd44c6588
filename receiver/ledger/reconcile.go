package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ecluse/internal/catalog"
	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// What stands on the disk is held against the anchor when a state is opened. What is ahead of it a crash has left, and it is taken; what is behind it is a doubt, and the anchor's
// word stands.

// takeAnchor reads the anchor, or begins one in a state that remembers nothing yet.
func (l *Ledger) takeAnchor() error {
	a, found, good, err := readAnchor(l.disk, l.dir)
	if err != nil {
		return err
	}
	l.anchor = a
	if good > 0 {
		if good < len(copies) {
			l.findings = append(l.findings, "one copy of the anchor was damaged or missing, and is made again from the other")
			a.behind = len(copies)
		}
		return nil
	}
	if found > 0 {
		return fmt.Errorf("%w: %s and %s are damaged: %s", ErrAnchor, filepath.Join(l.dir, copies[0]), filepath.Join(l.dir, copies[1]), AnchorHint)
	}
	for _, d := range []string{"bundles", "chains", "sessions"} {
		names, err := l.disk.ReadDir(filepath.Join(l.dir, d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(names) > 0 {
			return fmt.Errorf("%w: there is neither %s nor %s beside %s: %s", ErrAnchor, filepath.Join(l.dir, copies[0]), copies[1], d, AnchorHint)
		}
	}
	return a.both(nil) // before anything else is there
}

// restoreChains gives every sender the epoch, the epochs before it and the floors that the anchor remembers, where its file knows less. The doubts are durable before a file is
// written, so that a crash in between hides nothing.
func (l *Ledger) restoreChains() error {
	var restored []*chains
	for _, remembered := range l.anchor.content.Chains {
		have := l.chains[remembered.Sender]
		c, behind := have.clone(remembered.Sender).merge(remembered)
		if behind == "" {
			continue
		}
		if have == nil {
			behind = "its file is gone"
		}
		l.anchor.doubt(Doubt{At: l.now().UTC(), Sender: c.Sender, Text: fmt.Sprintf("%s is older than what this receiver remembers (%s): the anchor's word stands", l.chainPath(c.Sender), behind)})
		restored = append(restored, c)
	}
	if len(restored) == 0 {
		return nil
	}
	if err := l.settleAnchor(); err != nil {
		return err
	}
	for _, c := range restored {
		if err := l.putChain(c); err != nil {
			return err
		}
	}
	return nil
}

// merge raises what is remembered of a sender to what another memory holds of the same one, and says in what it was behind; "" where it was not.
func (c *chains) merge(o *chains) (merged *chains, behind string) {
	if c.Epoch != o.Epoch && !o.Epoch.IsZero() && !slices.Contains(c.Replaced, o.Epoch) {
		behind = "another epoch is in force since"
		if !c.Epoch.IsZero() && !slices.Contains(o.Replaced, c.Epoch) {
			c.Replaced = append(c.Replaced, c.Epoch)
		}
		c.Epoch = o.Epoch
	}
	for _, e := range o.Replaced {
		if !slices.Contains(c.Replaced, e) && e != c.Epoch {
			c.Replaced, behind = append(c.Replaced, e), cmp.Or(behind, "an epoch was replaced since")
		}
	}
	for e, floors := range o.Floors {
		for tenant, floor := range floors {
			if c.raise(e, tenant, floor) {
				behind = cmp.Or(behind, "more was forgotten on purpose since")
			}
		}
	}
	for _, e := range c.Replaced {
		delete(c.Floors, e)
	}
	return c, behind
}

// stampPath is where bundles/ says which group of records it holds.
func (l *Ledger) stampPath() string { return filepath.Join(l.dir, "bundles", "generation") }

// stamp reads it. torn says that a power cut came into its writing.
func (l *Ledger) stamp() (commit uint64, torn bool, err error) {
	file, err := l.disk.ReadFile(l.stampPath(), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	text, sealed, err := journal.Open(file)
	n, bad := strconv.ParseUint(string(text), 10, 64)
	return n, err != nil || !sealed || bad != nil, nil
}

func (l *Ledger) prepareStamp(commit uint64) error {
	return l.disk.Prepare(l.stampPath(), stampText(commit))
}

func stampText(commit uint64) []byte { return journal.Seal(strconv.AppendUint(nil, commit, 10)) }

// catalogBits are what SQLite keeps of a number of a group: its user_version has 31.
const catalogBits = 1<<31 - 1

func (l *Ledger) catalogCommit(ctx context.Context) (n uint64, err error) {
	err = l.catalog.DB().QueryRowContext(ctx, `PRAGMA user_version`).Scan(&n)
	return n, err
}

func markCatalog(tx *sql.Tx, commit uint64) error {
	_, err := tx.Exec(`PRAGMA user_version = ` + strconv.FormatUint(commit&catalogBits, 10))
	return err
}

// trusted says whether catalog, bundles/ and anchor tell of the same group of records. Where they do not, all records are read again; where bundles/ is behind it is a doubt.
func (l *Ledger) trusted(ctx context.Context) (bool, error) {
	a := &l.anchor.content
	stamp, torn, err := l.stamp()
	if err != nil {
		return false, err
	}
	shown, err := l.catalogCommit(ctx)
	if err != nil {
		return false, err
	}
	l.commits = max(stamp, a.Commit)
	if torn {
		l.commits = a.Commit
	}
	if !torn && stamp < a.Commit && !a.Rebase {
		text := fmt.Sprintf("%s is older than what this receiver remembers, or was removed: what it says of bundles in quarantine may be out of date", filepath.Join(l.dir, "bundles"))
		l.anchor.doubt(Doubt{At: l.now().UTC(), Text: text})
		for _, m := range l.anchor.marks {
			l.doubtMark(m)
		}
	}
	if !l.catalog.Dirty() && shown != a.Commit&catalogBits {
		l.findings = append(l.findings, "the catalog is not the one that was closed last: it is made again from the records")
		return false, nil
	}
	return !l.catalog.Dirty() && !torn && stamp == a.Commit && !a.Rebase && l.marksStand(), nil
}

// marksStand looks at the highest record of each chain.
func (l *Ledger) marksStand() bool {
	for _, m := range l.anchor.marks {
		if m.Sequence > l.floor(m.chain()) {
			if r, err := ReadRecord(l.disk, l.dir, m.Bundle); err != nil || !r.Held() || r.Manifest.Digest != m.Digest {
				return false
			}
		}
	}
	return true
}

// floor is the highest sequence of a chain that was forgotten on purpose.
func (l *Ledger) floor(p Chain) uint64 {
	if c := l.chains[p.Sender]; c != nil {
		return c.Floors[p.Epoch][p.Tenant]
	}
	return 0
}

// doubtMark holds a chain up to its mark.
func (l *Ledger) doubtMark(m *Mark) {
	if m.Sequence == 0 || m.Sequence <= l.floor(m.chain()) {
		return
	}
	l.anchor.doubt(Doubt{At: l.now().UTC(), Sender: m.Sender, Tenant: m.Tenant, Epoch: m.Epoch, Sequence: m.Sequence,
		Text: fmt.Sprintf("records of sender %s, tenant %s, epoch %s are gone or old: of its sequences up to %d nobody can tell what has been here", m.Sender, m.Tenant, m.Epoch, m.Sequence)})
}

// holdMarks holds every mark against the records, which have just been read, and raises those that a crash left behind.
func (l *Ledger) holdMarks(ctx context.Context) error {
	onRecord, err := l.marksOnRecord(ctx, "")
	if err != nil {
		return err
	}
	a := l.anchor
	rebase := a.content.Rebase
	if rebase {
		for _, m := range a.marks {
			m.Sequence, m.Records, m.Digest, m.Previous, m.Bundle = 0, 0, bundle.Digest{}, bundle.Digest{}, bundle.ID{}
		}
	}
	for p, m := range a.marks {
		var records uint64
		if have := onRecord[p]; have != nil {
			records = have.Records
		}
		lost := m.Records > records
		if m.Sequence > l.floor(m.chain()) && m.Sequence > 0 && !lost {
			digest, err := l.digestAt(ctx, m)
			if err != nil {
				return err
			}
			lost = digest != m.Digest.String()
		}
		if lost {
			l.doubtMark(m)
		}
	}
	a.content.Rebase = false
	a.raise(onRecord)
	return nil
}

// raise lifts marks to what is on record.
func (a *anchor) raise(onRecord map[Chain]*Mark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, have := range onRecord {
		if a.takes(p) {
			m := a.mark(p)
			m.raise(have.Sequence, have.Digest, have.Previous, have.Bundle)
			m.Records = max(m.Records, have.Records)
		}
	}
	a.behind = len(copies)
}

// raiseMarks reads the marks of those whose chain has changed: an epoch that was paired may have been one too many to be marked before.
func (l *Ledger) raiseMarks(ctx context.Context) error {
	for _, c := range l.linked {
		onRecord, err := l.marksOnRecord(ctx, c.Sender)
		if err != nil {
			return err
		}
		l.anchor.raise(onRecord)
	}
	return nil
}

// digestAt is the digest on record of a mark's sequence, "" where there is none.
func (l *Ledger) digestAt(ctx context.Context, m *Mark) (digest string, err error) {
	err = l.catalog.DB().QueryRowContext(ctx, `SELECT digest FROM bundles WHERE held = 1 AND sender = ? AND tenant = ? AND epoch = ? AND sequence = ?`,
		string(m.Sender), string(m.Tenant), m.Epoch.String(), int64(m.Sequence)).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return digest, err
}

// marksOnRecord are the marks as the records give them, of one sender or of all.
func (l *Ledger) marksOnRecord(ctx context.Context, sender bundle.Name) (map[Chain]*Mark, error) {
	const q = `SELECT sender, tenant, epoch, max(sequence), digest, previous, bundle, count(*) FROM bundles
		WHERE held = 1 AND sequence IS NOT NULL AND (sender = ? OR ? = '') GROUP BY sender, tenant, epoch`
	rows, err := l.catalog.DB().QueryContext(ctx, q, string(sender), string(sender))
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	all := make(map[Chain]*Mark)
	for rows.Next() {
		var m Mark
		// SQLite takes the bare columns from the row of the maximum.
		err := rows.Scan(&m.Sender, &m.Tenant, catalog.Text(&m.Epoch), &m.Sequence, catalog.Text(&m.Digest), catalog.Text(&m.Previous), catalog.Text(&m.Bundle), &m.Records)
		if err != nil {
			return nil, fmt.Errorf("ask the catalog: %w", err)
		}
		all[m.chain()] = &m
	}
	return all, rows.Err()
}

// reconcile brings catalog, records and anchor together.
func (l *Ledger) reconcile(ctx context.Context) error {
	if err := l.restoreChains(); err != nil {
		return err
	}
	trusted, err := l.trusted(ctx)
	if err != nil {
		return err
	}
	if err := l.refresh(ctx, !trusted); err != nil {
		return err
	}
	if err := l.loadHeads(ctx); err != nil {
		return err
	}
	for p, m := range l.anchor.marks {
		if m.Head.Sequence > l.heads[p].Sequence {
			l.heads[p], l.moved[p] = m.Head, true
		}
	}
	for _, c := range l.chains {
		l.anchor.chain(c)
	}
	if err := l.recountAll(ctx); err != nil {
		return err
	}
	if !trusted {
		if err := l.holdMarks(ctx); err != nil {
			return err
		}
		if err := l.renumber(ctx); err != nil {
			return err
		}
	}
	return l.settleAnchor()
}

// renumber gives catalog, bundles/ and anchor one number again. The anchor, with its doubts, comes first: a number that agrees says that there is none.
func (l *Ledger) renumber(ctx context.Context) error {
	if err := l.settleAnchor(); err != nil {
		return err
	}
	l.commits++
	err := l.disk.Replace(l.stampPath(), stampText(l.commits))
	if catalog.NoRoom(err) {
		return nil // the next start reads the records again
	}
	if err != nil {
		return fmt.Errorf("number the records: %w", err)
	}
	l.anchor.committed(l.commits, nil, nil, slices.Collect(maps.Values(l.chains)))
	return l.catalog.Write(ctx, func(tx *sql.Tx) error { return markCatalog(tx, l.commits) })
}

// Findings are what Open found and mended, in words for the log.
func (l *Ledger) Findings() []string { return l.findings }

// Anchored is what a command shows of the anchor.
type Anchored struct {
	Marks    []Mark       `json:"marks"`
	Sessions []Session    `json:"sessions"`
	Doubts   []Doubt      `json:"doubts"`
	Accepted []Acceptance `json:"accepted"`
}

// ReadAnchored reads the anchor of a state.
func ReadAnchored(disk Disk, dir string) (*Anchored, error) {
	a, found, good, err := readAnchor(disk, dir)
	if err != nil {
		return nil, err
	}
	if good == 0 && found > 0 {
		return nil, fmt.Errorf("%w: both copies are damaged: %s", ErrAnchor, AnchorHint)
	}
	return a.show(), nil
}

func (a *anchor) show() *Anchored {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &Anchored{[]Mark{}, append([]Session{}, a.content.Sessions...), append([]Doubt{}, a.content.Doubts...), append([]Acceptance{}, a.content.Accepted...)}
	for _, m := range a.marks {
		s.Marks = append(s.Marks, *m)
	}
	slices.SortFunc(s.Marks, byChain)
	return s
}

// Anchored is what the open book's anchor tells.
func (l *Ledger) Anchored() *Anchored { return l.anchor.show() }

// acceptedKept bounds the acceptances that are remembered.
const acceptedKept = 20

// Accept ends all doubts of a state that nobody has open, and gives what it did in words: what cannot be read of its small files is moved to <state>/damaged, and the next Open
// takes what is on record for all there was. What the anchor itself remembers of epochs, floors and sessions stays.
func Accept(disk Disk, dir string, by Acceptance) (did []string, err error) {
	a, found, good, err := readAnchor(disk, dir)
	if err != nil {
		return nil, err
	}
	if good == 0 && found > 0 {
		did = append(did, "a new anchor is made: both copies of the old one were damaged")
	}
	for _, d := range a.content.Doubts {
		by.Doubts = append(by.Doubts, d.Text)
		did = append(did, "accepted: "+d.Text)
	}
	moved, err := setDamagedAside(disk, dir)
	if err != nil {
		return nil, err
	}
	by.Doubts, did = append(by.Doubts, moved...), append(did, moved...)
	a.content.Doubts, a.content.Rebase = nil, true
	a.content.Accepted = append(a.content.Accepted, by)
	if n := len(a.content.Accepted); n > acceptedKept {
		a.content.Accepted = a.content.Accepted[n-acceptedKept:]
	}
	return did, a.both(nil)
}

// setDamagedAside moves what cannot be read out of the way.
func setDamagedAside(disk Disk, dir string) (moved []string, err error) {
	type small struct {
		path string
		read func(text []byte) error
	}
	var all []small
	for _, d := range []string{"chains", "sessions"} {
		names, err := disk.ReadDir(filepath.Join(dir, d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, n := range names {
			all = append(all, small{filepath.Join(dir, d, n), func(text []byte) error { var any json.RawMessage; return json.Unmarshal(text, &any) }})
		}
	}
	root := filepath.Join(dir, "bundles")
	groups, err := disk.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, g := range groups {
		if !isGroup(g) {
			continue
		}
		names, err := disk.ReadDir(filepath.Join(root, g))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if name, ok := strings.CutSuffix(n, ".json"); ok {
				if id, err := bundle.ParseID(name); err == nil {
					all = append(all, small{RecordPath(dir, id), func(text []byte) error { _, err := parseRecord(text, id); return err }})
				}
			}
		}
	}
	for _, s := range all {
		file, err := disk.ReadFile(s.path, recordLimit)
		if err != nil {
			return moved, err
		}
		text, _, bad := journal.Open(file)
		if bad == nil {
			bad = s.read(text)
		}
		if bad == nil {
			continue
		}
		to := filepath.Join(dir, "damaged", filepath.Base(filepath.Dir(s.path))+"-"+filepath.Base(s.path))
		if err := disk.MkdirAll(filepath.Dir(to)); err != nil {
			return moved, err
		}
		if err := cmp.Or(disk.Replace(to, file), disk.RemoveAll(s.path)); err != nil {
			return moved, err
		}
		moved = append(moved, fmt.Sprintf("%s is damaged (%v): moved to %s", s.path, bad, to))
	}
	return moved, nil
}

// isGroup says whether a name below bundles/ is a directory of records.
func isGroup(name string) bool { return len(name) == 2 }
