package chamber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/ssh"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/examine"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

type logEntry = observer.LoggedEntry

var errBroken = errors.New("broken for a test")

var missingOne = assemble.Missing{Chunks: 1, Bytes: chunkSize}

// realDisk is the disk, with faults where a test wants them. Syncs are left out: these tests cut no power.
type realDisk struct {
	*disk.Disk
	mu     sync.Mutex
	before func(act, path string) error // nil: nothing
	after  func(act, path string)
}

func newDisk() *realDisk {
	d := new(realDisk)
	d.Disk = disk.Watched(d)
	return d
}

func (d *realDisk) act(name, path string, do func() error) error {
	d.mu.Lock()
	before, after := d.before, d.after
	d.mu.Unlock()
	if before != nil {
		if err := before(name, path); err != nil {
			return err
		}
	}
	err := do()
	if after != nil {
		after(name, path)
	}
	return err
}

func (d *realDisk) Prepare(path string, content []byte) error {
	return d.act("put", path, func() error { return d.Disk.Prepare(path, content) })
}

func (d *realDisk) Place(path string) error {
	return d.act("place", path, func() error { return d.Disk.Place(path) })
}

func (d *realDisk) Replace(path string, content []byte) error {
	return d.act("replace", path, func() error { return errors.Join(d.Disk.Prepare(path, content), d.Disk.Place(path)) })
}

// Before implements disk.Probe: directories are made in many ways.
func (d *realDisk) Before(op *disk.Op) error {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before == nil || op.Kind != disk.Mkdir {
		return nil
	}
	return before("mkdir", op.Path)
}

// After implements disk.Probe.
func (d *realDisk) After(op *disk.Op, _ error) {
	d.mu.Lock()
	after := d.after
	d.mu.Unlock()
	if after != nil && op.Kind == disk.Mkdir {
		after("mkdir", op.Path)
	}
}

func (d *realDisk) RemoveAll(path string) error {
	return d.act("remove", path, func() error { return d.Disk.RemoveAll(path) })
}

func (d *realDisk) SyncAll(path string) error {
	return d.act("sync", path, func() error { return nil })
}

func (d *realDisk) OpenStaged(path string) (assemble.File, error) { return d.Disk.OpenStaged(path) }

func (d *realDisk) set(before func(act, path string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// plan is what a house is made of, and what outlives it.
type plan struct {
	inspect func(context.Context, examine.Job) (*examine.Report, error)
	dir     string
	tenants map[bundle.Name]Tenant
	keep    Keep
	lows    []*low
	signers string                        // text of allowed_signers; "": one line for each of lows
	allowed map[bundle.Name][]bundle.Name // nil: each of lows may use every tenant
	unready bool                          // nothing is paired
	audited bool                          // its book writes to an audit log
	idle    time.Duration
	disk    *realDisk

	envelope  func(h *house, tenant bundle.Name, coming, bytes int64) error // nil: none
	purgeable func(before time.Time, after time.Duration) time.Time

	mu     sync.Mutex
	bytes  int64
	inodes int64
	now    time.Time
	leap   time.Duration // how far the machine's clock was set ahead
	shut   error         // why nothing of any tenant goes through; nil: it does
	asked  int           // how often that was asked
	after  int           // the route is open so often, and shut from then on; 0: always as shut says
	brief  int           // it is shut so often, and then as shut says
}

const state, imports = "state", "import"

// began is when every plan begins.
var began = time.Date(2026, 9, 22, 12, 0, 0, 0, time.UTC)

// newPlan is a house with one tenant, cssf, and one sender, low, that is paired.
func newPlan(t testing.TB, mode release.Mode) *plan {
	t.Helper()
	p := planIn(t, t.TempDir(), mode)
	must(t, os.Mkdir(p.at(imports), 0o755))
	return p
}

func planIn(t testing.TB, dir string, mode release.Mode) *plan {
	t.Helper()
	p := &plan{
		dir: dir, bytes: 1 << 40, inodes: 1 << 30, now: began, idle: time.Hour, disk: newDisk(),
		tenants: make(map[bundle.Name]Tenant), lows: []*low{newLow(t, "low", 1)},
		keep: Keep{Rejected: 24 * time.Hour, Damaged: 24 * time.Hour, Rows: 1000 * time.Hour},
	}
	p.tenant("cssf", mode, imports)
	return p
}

func (p *plan) at(name ...string) string { return filepath.Join(append([]string{p.dir}, name...)...) }

// tenant adds or changes a tenant; destinations are names below the plan's directory.
func (p *plan) tenant(name bundle.Name, mode release.Mode, destinations ...string) {
	t := Tenant{Name: name, Release: mode}
	for _, d := range destinations {
		t.Destinations = append(t.Destinations, deliver.Options{Directory: p.at(d), FileMode: deliver.DefaultFileMode, DirMode: deliver.DefaultDirMode})
	}
	p.tenants[name] = t
}

func (p *plan) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Add(p.leap)
}

func (p *plan) aged() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// jump sets the machine's clock ahead.
func (p *plan) jump(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leap += d
}

// closed is Options.Closed.
func (p *plan) closed(bundle.Name) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked++; p.after > 0 && p.asked > p.after {
		return stopped
	}
	if p.brief > 0 {
		p.brief--
		return stopped
	}
	return p.shut
}

// stop closes every route for a reason, and opens them where there is none.
func (p *plan) stop(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = why
}

func (p *plan) advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

// passed is a clock that nobody sets.
func (p *plan) passed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Sub(began)
}

func (p *plan) space() (bytes, inodes int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes, p.inodes, nil
}

// house is one life of the high house, from ledger to chamber.
type house struct {
	*Chamber
	t         testing.TB
	p         *plan
	ledger    *ledger.Ledger
	audit     *audit.Log // nil: the plan has none
	assembler *assemble.Assembler
	trust     *Trust
	logs      *observer.ObservedLogs
	setPause  func(time.Duration) // of a house with shelves
	patience  time.Duration       // how long something may take; 0: longEnough

	endWork, endBook context.CancelFunc
	book, worked     chan error
	fatal            chan error
	over             bool
}

// open begins a life; the test's end ends it.
func (p *plan) open(t testing.TB) *house {
	t.Helper()
	h := p.prepare(t)
	h.run()
	t.Cleanup(func() { h.end(true) })
	return h
}

func (p *plan) prepare(t testing.TB) *house {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	h := &house{t: t, p: p, trust: new(Trust), logs: logs, book: make(chan error, 1), worked: make(chan error, 1), fatal: make(chan error, 100)}
	var err error
	h.ledger, err = ledger.Open(context.Background(), p.at(state), p.disk, p.clock)
	must(t, err)
	if p.audited {
		h.audit, err = audit.Open(audit.Options{Dir: audit.Dir(p.at(state)), Disk: p.disk.Disk, Origin: "test", Now: p.clock})
		must(t, err)
		must(t, h.ledger.SetAudit(h.audit))
	}
	h.trusted(p.signers)
	o := Options{
		State: p.at(state), Ledger: h.ledger, Disk: p.disk.Disk, Space: p.space, Reserve: func() int64 { return 1 << 20 },
		Sync:     func(context.Context) error { return p.disk.SyncAll(p.at(state)) },
		Receiver: receiverID, Tenants: p.tenants, Inspect: p.inspect, Closed: p.closed, Trust: h.trust, Keep: p.keep, Now: p.clock, Aged: p.aged, Log: zap.New(core), Fatal: func(err error) { h.fatal <- err },
		Purgeable: p.purgeable,
	}
	if p.envelope != nil {
		o.Envelope = func(tenant bundle.Name, coming, bytes int64) error { return p.envelope(h, tenant, coming, bytes) }
	}
	h.Chamber = New(o)
	h.assembler, err = assemble.New(assemble.Options{
		Dir: p.at(state, "receiving"), Disk: p.disk, Owner: h.Chamber, Memory: 48 << 20, Workers: 2, Now: p.clock, Passed: p.passed, Idle: p.idle, Checkpoint: time.Millisecond,
	})
	must(t, err)
	h.SetAssembler(h.assembler)
	return h
}

// trusted sets allowed_signers; "" is a line for each sender of the plan.
func (h *house) trusted(text string) {
	h.t.Helper()
	senders := h.p.allowed
	if senders == nil {
		senders = make(map[bundle.Name][]bundle.Name)
		for _, l := range h.p.lows {
			senders[l.name] = slices.Collect(maps.Keys(h.p.tenants))
		}
	}
	if text == "" {
		for _, l := range h.p.lows {
			text += l.line(`namespaces="bundle@ecluse,abandon@ecluse,session@ecluse"`)
		}
	}
	signers, err := keys.ParseAllowedSigners([]byte(text))
	must(h.t, err)
	h.trust.Set(signers, senders)
}

func (h *house) run() {
	h.t.Helper()
	book, endBook := context.WithCancel(context.Background())
	work, endWork := context.WithCancel(context.Background())
	h.endBook, h.endWork = endBook, endWork
	go func() { h.book <- h.ledger.Run(book) }()
	if !h.p.unready {
		for _, l := range h.p.lows {
			must(h.t, h.ledger.Pair(work, l.name, l.epoch))
		}
	}
	must(h.t, h.Start(work))
	must(h.t, h.assembler.Load(h.Wanted))
	go func() { h.worked <- h.assembler.Run(work) }()
	must(h.t, h.Recheck(work))
}

// runAtRest is a command's life.
func (h *house) runAtRest() {
	h.t.Helper()
	book, endBook := context.WithCancel(context.Background())
	work, endWork := context.WithCancel(context.Background())
	h.endBook, h.endWork = endBook, endWork
	go func() { h.book <- h.ledger.Run(book) }()
	h.worked <- nil
	must(h.t, h.Rest(work))
	h.t.Cleanup(func() { h.end(true) })
}

// slowSigners wait before they answer.
type slowSigners struct {
	quarantine.Signers
	entered, open chan struct{}
}

func (s *slowSigners) Principal(key ssh.PublicKey, namespace string, at time.Time) (bundle.Name, error) {
	s.entered <- struct{}{}
	<-s.open
	return s.Signers.Principal(key, namespace, at)
}

// end ends the life; clean says that the book is closed in order. It gives what the ledger's Run returned.
func (h *house) end(clean bool) error {
	if h.over {
		return nil
	}
	h.over = true
	h.endWork()
	<-h.worked
	h.Wait()
	h.endBook()
	err := <-h.book
	if e := h.ledger.Close(clean && err == nil); e != nil {
		h.t.Errorf("close the book: %v", e)
	}
	if h.audit != nil {
		must(h.t, h.audit.Close())
	}
	return err
}

// again ends this life in order and begins the next.
func (h *house) again() *house {
	h.t.Helper()
	if err := h.end(true); err != nil {
		h.t.Errorf("the ledger ended with %v", err)
	}
	return h.p.open(h.t)
}

// receive takes records as they come from a sender's session.
func (h *house) receive(from *low, records ...record.Record) {
	h.t.Helper()
	h.assembler.Block(from.session(), block(h.t, records...))
}

// staged waits until so many bytes of an item are on the disk.
func (h *house) staged(i *item, bytes int64) {
	h.t.Helper()
	eventually(h.t, "its chunks are on the disk", func() bool { return h.assembler.Progress()[i.id()] >= bytes })
}

// take receives an item whole, and waits until it stands in a state.
func (h *house) take(i *item, want ledger.State) *ledger.Record {
	h.t.Helper()
	h.receive(i.from, i.whole()...)
	return h.becomes(i, want)
}

// becomes waits until an item stands in a state.
func (h *house) becomes(i *item, want ledger.State) *ledger.Record {
	h.t.Helper()
	var last *ledger.Record
	for end := time.Now().Add(max(longEnough, h.patience)); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		r, err := h.ledger.Get(i.id())
		if err == nil && r.State == want {
			return r
		}
		last = r
	}
	for _, e := range h.logs.All() {
		h.t.Log(e.Level, e.Message, e.ContextMap())
	}
	h.t.Fatalf("it never became %s: %s; records: %+v", want, describe(last), h.assembler.Counts())
	return nil
}

func describe(r *ledger.Record) string {
	if r == nil {
		return "nothing is known of it"
	}
	return fmt.Sprintf("%s, reason %s, %s", r.State, reasonOf(r), r.Detail)
}

func reasonOf(r *ledger.Record) bundle.Reason {
	if r.Reason == nil {
		return ""
	}
	return bundle.Reason(*r.Reason)
}

// record gives an item's record. It asks a ledger that is idle: Get may read the file of a record that is about to be shown.
func (h *house) record(i *item) *ledger.Record {
	h.t.Helper()
	_ = h.ledger.Pair(context.Background(), "nobody", bundle.Epoch{99}) // it ends with the batch that it is in
	r, err := h.ledger.Get(i.id())
	must(h.t, err)
	return r
}

func (h *house) is(i *item, state ledger.State, reason bundle.Reason) {
	h.t.Helper()
	if r := h.record(i); r.State != state || reasonOf(r) != reason {
		h.t.Fatalf("it is %s, want %s, reason %q", describe(r), state, reason)
	}
}

// approve has a person say yes.
func (h *house) approve(i *item, uid uint32) error {
	_, err := h.Decide(context.Background(), i.id(), ledger.Decision{Approve: true, Who: fmt.Sprint("uid:", uid), UID: uid, At: h.p.clock()})
	return err
}

func (h *house) reject(i *item, uid uint32, reason string) error {
	_, err := h.Decide(context.Background(), i.id(), ledger.Decision{Who: "somebody", UID: uid, Reason: reason, At: h.p.clock()})
	return err
}

// reservations says what is reserved.
func (h *house) reservations() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.reserved)
}

func (p *plan) quarantine(i *item) string { return Dir(p.at(state), i.offer.Tenant, i.id()) }

// tree lists everything below a directory: content of files, "/" for directories. A directory that is not there is empty.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		switch {
		case rel == ".":
		case e.IsDir():
			all[rel] = "/"
		default:
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all[rel] = string(text)
		}
		return nil
	})
	must(t, err)
	return all
}

// names are the names that stand directly in a directory.
func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// tree is what an item has to look like where it stands.
func (i *item) tree() map[string]string {
	all := maps.Clone(i.files)
	for name := range i.files {
		for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
			all[d] = "/"
		}
	}
	return all
}

// stands requires that exactly these items stand in a directory.
func stands(t testing.TB, dir string, items ...*item) {
	t.Helper()
	want := make(map[string]string)
	for _, i := range items {
		maps.Copy(want, i.tree())
	}
	got := tree(t, dir)
	if !maps.Equal(got, want) {
		t.Errorf("in %s stand %q, want %q", dir, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// nothingHeld requires that nothing of an item stands anywhere in quarantine or staging.
func (h *house) nothingHeld(i *item) {
	h.t.Helper()
	if all := tree(h.t, h.p.quarantine(i)); len(all) > 0 {
		h.t.Errorf("%q stand in quarantine", slices.Sorted(maps.Keys(all)))
	}
	h.unstaged(i)
	eventually(h.t, "its place is given free", func() bool { return h.reservations() == 0 })
}

func (h *house) unstaged(i *item) {
	h.t.Helper()
	eventually(h.t, "its staging directory is removed", func() bool {
		_, err := os.Lstat(h.p.at(state, "receiving", i.id().String()))
		return errors.Is(err, fs.ErrNotExist)
	})
}

func refusedError(t testing.TB, err error, says string) {
	t.Helper()
	var no *RefusedError
	if !errors.As(err, &no) || !strings.Contains(no.Text, says) {
		t.Fatalf("got %v, want a refusal that says %q", err, says)
	}
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
