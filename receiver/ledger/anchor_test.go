package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// copyTree copies a state as a person does who makes a backup of a stopped receiver.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// putBack replaces a part of a state by what it was in a backup, or removes it where it was not there.
func putBack(t *testing.T, dir, backup string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		names, _ := filepath.Glob(filepath.Join(dir, part))
		for _, n := range names {
			if err := os.RemoveAll(n); err != nil {
				t.Fatal(err)
			}
		}
		old, _ := filepath.Glob(filepath.Join(backup, part))
		for _, o := range old {
			to := filepath.Join(dir, strings.TrimPrefix(o, backup))
			info, err := os.Stat(o)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				err = os.CopyFS(to, os.DirFS(o))
			} else {
				var text []byte
				text, err = os.ReadFile(o)
				err = errors.Join(err, os.WriteFile(to, text, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// judge says what the book would do with one more manifest of s/t in the paired epoch.
func (b *book) judge(sequence uint64, d, previous bundle.Digest) string {
	b.t.Helper()
	var judged error
	_ = b.Change(b.t.Context(), id(99), func(*Record) error {
		judged = b.Judge("s", "t", bundle.Place{Bundle: id(99), Epoch: paired, Sequence: sequence, Digest: d, Previous: previous})
		return errTest
	})
	return reasonOf(judged)
}

// What this side remembers is put back from an older copy, in part or removed, while it is stopped.
func TestWhatIsPutBackFromABackupIsNoticedAndForgetsNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts []string // of the state, put back
		empty bool     // from a backup that holds nothing: they are removed
		doubt string   // "": nothing is lost
		held  string   // what sequence 3 gets, whose record may be lost
	}{
		{"the catalog", []string{"catalog.db*"}, false, "", "sequence-fork"},
		{"the catalog is removed", []string{"catalog.db*"}, true, "", "sequence-fork"},
		{"the chains", []string{"chains"}, false, "chains/s.json", "sequence-fork"},
		{"the chains are removed", []string{"chains"}, true, "chains/s.json", "sequence-fork"},
		{"the records", []string{"bundles"}, false, "sequences up to 5", "rollback"},
		{"the records are removed", []string{"bundles"}, true, "sequences up to 5", "rollback"},
		{"the records, by their names only", []string{"bundles/??"}, true, "sequences up to 5", "rollback"},
		{"records and catalog", []string{"bundles", "catalog.db*"}, false, "sequences up to 5", "rollback"},
		{"records, catalog and chains", []string{"bundles", "catalog.db*", "chains"}, true, "sequences up to 5", "rollback"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			if err := b.Pair(t.Context(), "s", bundle.Epoch{9}); err != nil {
				t.Fatal(err)
			}
			b.accept(1, "t", bundle.Epoch{9}, 1)
			b.end(true)
			backup := copyTree(t, dir)
			if c.empty {
				backup = t.TempDir()
			}
			b = open(t, dir)
			if err := b.Pair(t.Context(), "s", paired); err != nil {
				t.Fatal(err)
			}
			for sequence := uint64(1); sequence <= 5; sequence++ {
				b.accept(10+int(sequence), "t", paired, sequence)
			}
			b.goes(11, Rejected)
			if err := b.Purge(t.Context(), []bundle.ID{id(11)}); err != nil {
				t.Fatal(err)
			}
			b.end(true)

			putBack(t, dir, backup, c.parts...)
			for _, again := range []string{"", ", and once more"} {
				b = open(t, dir)
				doubts := fmt.Sprint(b.Doubts())
				if c.doubt == "" && len(b.Doubts()) > 0 || !strings.Contains(doubts, c.doubt) {
					t.Errorf("opened%s: the doubts are %v, want %q", again, doubts, c.doubt)
				}
				if e, _ := b.Paired("s"); e != paired {
					t.Errorf("opened%s: paired with %v", again, e)
				}
				if reason := reasonOf(b.Pair(t.Context(), "s", bundle.Epoch{9})); reason != "sequence-rollback" {
					t.Errorf("opened%s: a replaced epoch is paired again: %s", again, reason)
				}
				for _, j := range []struct {
					sequence    uint64
					d, previous bundle.Digest
					want        string
				}{
					{1, digest("new"), bundle.Digest{}, "sequence-rollback"}, // forgotten on purpose
					{3, digest("new"), digest("x"), c.held},
					{4, digest("new"), digest("x"), "sequence-fork"}, // what is remembered follows another
					{5, digest("new"), digest("x"), "sequence-fork"},
					{6, digest("new"), digest("x"), "sequence-fork"}, // it follows another than the one that is remembered
					{6, digest("new"), digest(bundle.Name("t"), paired, uint64(5)), "accepted"},
				} {
					if got := b.judge(j.sequence, j.d, j.previous); got != j.want {
						t.Errorf("opened%s: sequence %d is %s, want %s", again, j.sequence, got, j.want)
					}
				}
				b.end(again == "")
			}

			did, err := Accept(disk.New(), dir, Acceptance{At: start, Who: "somebody", Reason: "disk was lost"})
			if err != nil || len(did) == 0 && c.doubt != "" {
				t.Fatalf("accepting did %v, %v", did, err)
			}
			for range 2 {
				b = open(t, dir)
				if len(b.Doubts()) > 0 {
					t.Errorf("after they were accepted there are doubts: %v", b.Doubts())
				}
				if got := b.judge(3, digest("new"), digest("x")); got == "rollback" {
					t.Error("after it was accepted, a lost sequence is still held")
				}
				if got := b.judge(1, digest("new"), bundle.Digest{}); got != "sequence-rollback" {
					t.Errorf("what was forgotten on purpose is %s", got)
				}
				b.end(false)
			}
		})
	}
}

func TestOneRecordThatIsLostIsNoticedWhenTheyAreRead(t *testing.T) {
	for _, sequence := range []int{1, 2, 5} {
		dir := t.TempDir()
		b := chained(t, dir)
		b.end(false)
		if err := os.Remove(RecordPath(dir, id(map[int]int{1: 1, 2: 2, 5: 3}[sequence]))); err != nil {
			t.Fatal(err)
		}
		b = open(t, dir)
		if len(b.Doubts()) != 1 {
			t.Errorf("sequence %d is lost: %v", sequence, b.Doubts())
		}
		if got := b.judge(uint64(sequence), digest("other"), digest("x")); got == "accepted" {
			t.Errorf("sequence %d is taken a second time", sequence)
		}
		b.end(true)
	}
}

// Decisions that an older copy of the records forgets are not made again by themselves.
func TestWhatAnOlderRecordSaysIsDoubted(t *testing.T) {
	dir := t.TempDir()
	b := chained(t, dir)
	b.end(true)
	backup := copyTree(t, dir)
	b = open(t, dir)
	b.goes(1, Approved, Imported)
	b.end(true)
	putBack(t, dir, backup, "bundles")
	b = open(t, dir)
	defer b.end(true)
	r, err := b.Get(id(1))
	if err != nil || r.State != Quarantined {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := reasonOf(b.Doubted(r.Sender, r.Tenant, r.Epoch, *r.Sequence, r.Changed)); got != "rollback" {
		t.Errorf("the older record is %s", got)
	}
	b.accept(20, "t", paired, 6)
	if r, err = b.Get(id(20)); err != nil || b.Doubted(r.Sender, r.Tenant, r.Epoch, *r.Sequence, r.Changed) != nil {
		t.Errorf("what came since is doubted: %v", err)
	}
}

// opened is a book without its catalog: anchor and chains, as Open takes them.
func opened(dir string) (*Ledger, error) {
	l := &Ledger{dir: dir, disk: disk.New(), now: func() time.Time { return start }, chains: make(map[bundle.Name]*chains), heads: make(map[Chain]Head)}
	err := l.takeAnchor()
	if err == nil {
		err = l.loadChains()
	}
	if err == nil {
		err = l.restoreChains()
	}
	return l, err
}

// each gives every damage of one byte, and every cut, of a file.
func each(t *testing.T, path string, f func(how string)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		t.Fatalf("%s: %v", path, err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range text {
		b := slices.Clone(text)
		b[i] ^= 1 << (i % 8)
		write(b)
		f(fmt.Sprintf("byte %d changed", i))
	}
	for n := range text {
		write(text[:n])
		f(fmt.Sprintf("cut to %d bytes", n))
	}
	write(text)
}

func TestADamagedSmallFileIsNamedOrMadeAgainAndNoMarkGoesDown(t *testing.T) {
	dir := t.TempDir()
	b := chained(t, dir)
	b.Session(Session{Sender: "s", Key: digest("key"), Epoch: paired, Number: 77, Announcement: digest("a")})
	b.Beat("s", "t", paired, Head{Sequence: 6, Digest: digest(6)})
	if err := b.Purge(t.Context(), []bundle.ID{id(2)}); err != nil {
		t.Fatal(err)
	}
	b.end(true)
	stands := func(how string) {
		t.Helper()
		l, err := opened(dir)
		if err != nil {
			if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "anchor --accept") {
				t.Errorf("%s: the error names neither file nor way out: %v", how, err)
			}
			return
		}
		c, m := l.chains["s"], l.anchor.at(Chain{"s", "t", paired})
		if c == nil || c.Epoch != paired || !slices.Contains(c.Replaced, bundle.Epoch{9}) || c.Floors[paired]["t"] != 2 {
			t.Errorf("%s: the chain is %+v", how, c)
		}
		if m.Sequence != 5 || m.Records != 2 || m.Head.Sequence != 6 || len(l.Sessions()) != 1 || l.Sessions()[0].Number != 77 {
			t.Errorf("%s: the mark is %+v, the sessions %+v", how, m, l.Sessions())
		}
	}
	stands("untouched")
	for _, name := range []string{"anchor-a", "anchor-b", "chains/s.json"} {
		path := filepath.Join(dir, name)
		each(t, path, func(how string) { stands(name + ": " + how) })
	}
	one, err := os.ReadFile(filepath.Join(dir, "anchor-a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "anchor-a"), one[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	each(t, filepath.Join(dir, "anchor-b"), func(how string) {
		if l, err := opened(dir); !errors.Is(err, ErrAnchor) {
			t.Errorf("both copies damaged, %s: %v, %+v", how, err, l)
		}
	})
	path := RecordPath(dir, id(3))
	want, err := ReadRecord(disk.New(), dir, id(3))
	if err != nil {
		t.Fatal(err)
	}
	each(t, path, func(how string) {
		r, err := ReadRecord(disk.New(), dir, id(3))
		if err != nil && !strings.Contains(err.Error(), path) || err == nil && fmt.Sprint(r) == "" {
			t.Errorf("a record, %s: %v", how, err)
		}
		if err == nil && (r.State != want.State || *r.Sequence != *want.Sequence || *r.Manifest != *want.Manifest) {
			t.Errorf("a record, %s: %+v", how, r)
		}
	})
}

func TestALostAnchorIsNeverForgottenInSilence(t *testing.T) {
	dir := t.TempDir()
	chained(t, dir).end(true)
	for _, c := range copies {
		if err := os.Remove(filepath.Join(dir, c)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := closed(t, dir); !errors.Is(err, ErrAnchor) || !strings.Contains(err.Error(), "anchor --accept") {
		t.Fatalf("opened without an anchor: %v", err)
	}
	if _, err := Accept(disk.New(), dir, Acceptance{At: start, Who: "somebody", Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir)
	defer b.end(true)
	if m := b.anchor.at(Chain{"s", "t", paired}); m.Sequence != 5 || m.Records != 3 || len(b.Doubts()) > 0 {
		t.Errorf("after the loss was accepted the mark is %+v, the doubts %v", m, b.Doubts())
	}
	a, err := ReadAnchored(disk.New(), dir)
	if err != nil || len(a.Accepted) != 1 || a.Accepted[0].Who != "somebody" {
		t.Errorf("who accepted it: %+v, %v", a, err)
	}
}

func TestAcceptingSetsAsideWhatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	chained(t, dir).end(false)
	for _, path := range []string{RecordPath(dir, id(2)), filepath.Join(dir, "chains", "s.json")} {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := closed(t, dir); err == nil {
		t.Fatal("it opens with a damaged chain")
	}
	did, err := Accept(disk.New(), dir, Acceptance{At: start, Who: "somebody", Reason: "why"})
	if err != nil || len(did) != 2 {
		t.Fatalf("%v, %v", did, err)
	}
	b := open(t, dir)
	defer b.end(true)
	if e, _ := b.Paired("s"); e != paired {
		t.Errorf("paired with %v", e)
	}
	if names, _ := os.ReadDir(filepath.Join(dir, "damaged")); len(names) != 2 {
		t.Errorf("%d files were kept", len(names))
	}
}

func TestTheAnchorCostsNoSyncOfItsOwn(t *testing.T) {
	b := fresh(t)
	for n := 1; n <= 20; n++ {
		b.goes(n, Refused)
	}
	if calls := b.disk.list(); strings.Count(calls, "sync") != 40 || strings.Contains(calls, "replace") { // contents and names of each
		t.Errorf("20 groups took %d syncs: %s", strings.Count(calls, "sync"), calls)
	}
}

func TestIdleBothCopiesTellAll(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.accept(1, "t", paired, 1)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if behind, _ := b.anchor.needs(); behind == 0 || time.Now().After(end) {
			break
		}
	}
	for _, c := range copies {
		file, err := os.ReadFile(filepath.Join(dir, c))
		if err != nil {
			t.Fatal(err)
		}
		if a := parseAnchor(file); a == nil || len(a.Marks) != 1 || a.Marks[0].Sequence != 1 {
			t.Errorf("%s tells %+v", c, a)
		}
	}
	b.end(false)
}

// lossy is a disk whose unsynced names a power cut may lose, each for itself. No name is given before its content is durable.
type lossy struct {
	*disk.Disk
	prepared, placed map[string][]byte
	early            bool // a name was given to what was not durable
	durable          map[string]bool
}

func (d *lossy) Prepare(path string, content []byte) error {
	d.prepared[path] = slices.Clone(content)
	delete(d.durable, path)
	return nil
}

func (d *lossy) Place(path string) error {
	d.early = d.early || !d.durable[path]
	d.placed[path] = d.prepared[path]
	delete(d.prepared, path)
	return nil
}

func (d *lossy) ReadFile(path string, limit int64) ([]byte, error) {
	if b, ok := d.placed[path]; ok {
		return b, nil
	}
	return d.Disk.ReadFile(path, limit)
}

func (d *lossy) SyncAll(string) error {
	for path := range d.prepared {
		d.durable[path] = true
	}
	for path, content := range d.placed {
		if err := d.Disk.Replace(path, content); err != nil {
			return err
		}
	}
	clear(d.placed)
	return nil
}

// cut lets a part of what was not synced reach the disk.
func (d *lossy) cut(r *rand.Rand) error {
	for path, content := range d.placed {
		if r.IntN(2) == 0 {
			if err := d.Disk.Replace(path, content); err != nil {
				return err
			}
		}
	}
	clear(d.placed)
	clear(d.prepared)
	return nil
}

// dying is a disk whose sync fails after so many.
type dying struct {
	*lossy
	syncs int
	err   error
}

func (d *dying) SyncAll(dir string) error {
	if d.syncs--; d.syncs < 0 {
		return d.err
	}
	return d.lossy.SyncAll(dir)
}

// A power cut is no rollback: whatever of the unsynced writes is lost, the anchor is never ahead of the rest.
func TestAPowerCutRaisesNoDoubtAndLowersNoMark(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		dir := t.TempDir()
		acknowledged := uint64(0)
		for life := range 3 {
			d := &lossy{Disk: disk.New(), prepared: make(map[string][]byte), placed: make(map[string][]byte), durable: make(map[string]bool)}
			l, err := Open(t.Context(), dir, d, func() time.Time { return start.Add(time.Duration(life) * time.Hour) })
			if err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if doubts := l.Doubts(); len(doubts) > 0 {
				t.Fatalf("seed %d, life %d: %v", seed, life, doubts)
			}
			if m := l.anchor.at(Chain{"s", "t", paired}); m.Sequence < acknowledged {
				t.Fatalf("seed %d, life %d: the mark is %d, and %d was held", seed, life, m.Sequence, acknowledged)
			}
			commit := func(n int, change func(*Record) error) {
				q := &request{id: id(n), steps: []func(*Record) error{change}, done: make(chan error, 1)}
				if err := l.batch(q); err != nil {
					t.Fatal(err)
				}
				if err := <-q.done; err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if life == 0 {
				c := (*chains)(nil).clone("s")
				c.Epoch = paired
				if err := l.putChain(c); err != nil {
					t.Fatal(err)
				}
			}
			for range 1 + r.IntN(4) {
				acknowledged++
				n, sequence := int(acknowledged), acknowledged
				commit(n, func(r *Record) error { describe(r); r.State = Receiving; return nil })
				commit(n, func(r *Record) error {
					r.State, r.Sequence, r.Manifest = Quarantined, &sequence, &Manifest{Digest: digest(sequence), Previous: digest(sequence - 1)}
					return nil
				})
				if r.IntN(3) == 0 {
					if err := l.flushAnchor(); err != nil {
						t.Fatal(err)
					}
				}
				if r.IntN(3) == 0 {
					commit(n, func(r *Record) error { r.State = Rejected; return nil })
				}
			}
			// One more group, whose last sync the cut forestalls.
			next := acknowledged + 1
			cut := errors.New("the power is gone")
			q := &request{id: id(int(next) + 500*(life+1)), steps: []func(*Record) error{func(r *Record) error { describe(r); r.State, r.Sequence = Refused, &next; return nil }}, done: make(chan error, 1)}
			l.disk = &dying{lossy: d, syncs: r.IntN(2), err: cut}
			if err := l.batch(q); !errors.Is(err, cut) {
				t.Fatal(err)
			}
			if d.early {
				t.Fatalf("seed %d: a name was given to what was not durable", seed)
			}
			if err := d.cut(r); err != nil {
				t.Fatal(err)
			}
			if r.IntN(2) == 0 {
				_ = l.flushHeads(t.Context())
			}
			if err := l.Close(false); err != nil && !errors.Is(err, fs.ErrClosed) {
				t.Fatal(err)
			}
		}
	}
}
