package issue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/protocol/ticket"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
)

var (
	epoch = bundle.Epoch{1}
	key   = [32]byte{7}
	alice = Peer{UID: 1001, Name: "alice"}
)

// staged is what incomplete bundles lack.
type staged map[bundle.ID]assemble.Gaps

func (s staged) IDs() (list []bundle.ID, _ error) {
	for id := range s {
		list = append(list, id)
	}
	slices.SortFunc(list, func(a, b bundle.ID) int { return slices.Compare(a[:], b[:]) })
	return list, nil
}

func (s staged) Gaps(id bundle.ID) (assemble.Gaps, bool, error) {
	g, ok := s[id]
	g.Ranges = slices.Clone(g.Ranges) // they are the desk's to change
	return g, ok, nil
}

// bench is a desk under test.
type bench struct {
	*Desk
	t      *testing.T
	dir    string
	ledger *ledger.Ledger
	staged staged
	now    time.Time
	log    *observer.ObservedLogs
}

func id(n int) bundle.ID { return bundle.ID{byte(n), 3} }

// open opens a desk that allows so many codes a day, for a sender that is paired and has told its key.
func open(t *testing.T, perDay int) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), staged: staged{}, now: time.Date(2026, 1, 31, 22, 0, 0, 0, time.UTC)}
	var err error
	if b.ledger, err = ledger.Open(t.Context(), b.dir, disk.New(), func() time.Time { return b.now }); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.ledger.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, b.ledger.Close(true)); err != nil {
			t.Error(err)
		}
	})
	if err := b.ledger.Pair(t.Context(), "low", epoch); err != nil {
		t.Fatal(err)
	}
	b.again(perDay)
	b.Heard("low", epoch, key)
	return b
}

// again opens the desk anew over what is on the disk.
func (b *bench) again(perDay int) {
	b.t.Helper()
	core, log := observer.New(zap.InfoLevel)
	b.log = log
	d, err := Open(Options{Dir: filepath.Join(b.dir, "tickets"), Disk: disk.New(), Ledger: b.ledger, PerDay: perDay, Now: func() time.Time { return b.now }, Log: zap.New(core)}, b.staged)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Desk = d
}

// damaged has a bundle lack ranges; sequence 0 is one whose close never came.
func (b *bench) damaged(n int, sequence uint64, ranges ...ticket.Range) {
	g := assemble.Gaps{Source: assemble.Source{Sender: "low", Epoch: epoch}, Ranges: ranges,
		Offer: record.Offer{Bundle: id(n), Epoch: epoch, Tenant: "cssf", Name: fmt.Sprint("item ", n), Chunks: 100_000}}
	if sequence > 0 {
		g.Close = &record.Close{Bundle: id(n), Epoch: epoch, Tenant: "cssf", Sequence: sequence, ManifestChunks: 1}
	}
	b.staged[id(n)] = g
}

// quarantined puts a whole bundle on record.
func (b *bench) quarantined(n int, sequence uint64) {
	b.t.Helper()
	err := b.ledger.Change(b.t.Context(), id(n), func(r *ledger.Record) error {
		r.Tenant, r.Sender, r.Epoch, r.Sequence, r.State = "cssf", "low", epoch, &sequence, ledger.Receiving
		return nil
	})
	if err == nil {
		err = b.ledger.Change(b.t.Context(), id(n), func(r *ledger.Record) error {
			r.State, r.Manifest = ledger.Quarantined, &ledger.Manifest{Digest: bundle.Digest{byte(sequence), 1}}
			return nil
		})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// sent has a heartbeat tell of sequences, and waits until the catalog knows.
func (b *bench) sent(highest uint64) {
	b.t.Helper()
	b.ledger.Beat("low", "cssf", epoch, ledger.Head{Sequence: highest, Digest: bundle.Digest{9}})
	for range 100 {
		if rows, err := b.ledger.List(b.t.Context(), ledger.Query{State: ledger.Missing}); err == nil && len(rows) > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatal("the catalog does not learn of heads")
}

// read gives what a code says to its sender.
func (b *bench) read(code string) *ticket.Ticket {
	b.t.Helper()
	c, err := ticket.Parse(code)
	if err != nil {
		b.t.Fatal(err)
	}
	if tenant, err := c.Open(key, epoch, []bundle.Name{"cssf"}); err != nil || tenant != "cssf" || len(code) > 128 || code != strings.ToUpper(code) {
		b.t.Fatalf("%s: %v, %v", code, tenant, err)
	}
	t, err := c.Ticket()
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

func reason(err error) bundle.Reason { r, _ := bundle.ReasonOf(err); return r }

func TestADaysCodesAreBoundedAndCountedDurably(t *testing.T) {
	b := open(t, 3)
	for n := 1; n <= 5; n++ {
		b.damaged(n, uint64(n), ticket.Range{From: 4, Count: 1})
	}
	ask := func(n int) error { _, err := b.Ticket(t.Context(), alice, id(n).String()); return err }
	for n := 1; n <= 3; n++ {
		if err := ask(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(4); reason(err) != bundle.ReasonTicketBudget {
		t.Errorf("a fourth of three: %v", err)
	}
	if err := ask(2); err != nil {
		t.Errorf("what was issued before today, and says nothing new: %v", err)
	}
	b.damaged(2, 2, ticket.Range{From: 5, Count: 1})
	if err := ask(2); reason(err) != bundle.ReasonTicketBudget {
		t.Errorf("the same bundle, of which other chunks are missing now: %v", err)
	}
	b.Heard("low", epoch, key)
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	b.again(3)
	if err := ask(4); reason(err) != bundle.ReasonTicketBudget {
		t.Errorf("after a restart: %v", err)
	}
	b.now = b.now.Add(-48 * time.Hour)
	if err := ask(4); reason(err) != bundle.ReasonTicketBudget {
		t.Errorf("with a clock that was set back: %v", err)
	}
	b.now = b.now.Add(52 * time.Hour)
	if err := ask(4); err != nil {
		t.Errorf("on the next day: %v", err)
	}
	b.again(0)
	if err := ask(5); reason(err) != bundle.ReasonTicketBudget {
		t.Errorf("where the policy allows none: %v", err)
	}
}

func TestACodeIsLoggedWithWhoAskedAndWhatItNames(t *testing.T) {
	b := open(t, 3)
	b.damaged(1, 12, ticket.Range{From: 4, Count: 2}, ticket.Range{From: 9})
	i, err := b.Ticket(t.Context(), alice, id(1).String()[:8])
	if err != nil {
		t.Fatal(err)
	}
	line := b.log.FilterMessage("ticket issued").All()
	if len(line) != 1 {
		t.Fatalf("%d lines", len(line))
	}
	said := fmt.Sprint(line[0].ContextMap())
	for _, word := range []string{"alice", "1001", "low", "cssf", id(1).String(), "sequence 12", "4-5, 9 to the end"} {
		if !strings.Contains(said, word) {
			t.Errorf("%q is not in %s", word, said)
		}
	}
	if strings.Contains(said, i.Code) {
		t.Error("the log holds the code itself: whoever reads it can carry it")
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "tickets", "issued.json"))
	if err != nil || !strings.Contains(string(text), "alice") || !strings.Contains(string(text), id(1).String()) || strings.Contains(string(text), i.Code) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestACountThatIsDamagedIssuesNothing(t *testing.T) {
	b := open(t, 3)
	b.damaged(1, 1)
	if _, err := b.Ticket(t.Context(), alice, id(1).String()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "tickets", "issued.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := slices.Clone(whole)
		bad[at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Ticket(t.Context(), alice, id(1).String()); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("byte %d changed: %v", at, err)
		}
	}
}

func TestKeysAreKeptForTheirOwnerAlone(t *testing.T) {
	b := open(t, 3)
	b.Heard("low", bundle.Epoch{2}, [32]byte{8})
	b.Heard("low", bundle.Epoch{3}, [32]byte{}) // none
	b.Heard("other", epoch, [32]byte{9})
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "tickets", "keys", "low.json")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	b.again(3)
	for _, row := range []struct {
		sender bundle.Name
		epoch  bundle.Epoch
		want   byte
	}{{"low", epoch, 7}, {"low", bundle.Epoch{2}, 8}, {"low", bundle.Epoch{3}, 0}, {"other", epoch, 9}, {"other", bundle.Epoch{2}, 0}, {"nobody", epoch, 0}} {
		if got, ok := b.Of(row.sender, row.epoch); got != [32]byte{row.want} || ok != (row.want != 0) {
			t.Errorf("of %s, %v: %v, %v", row.sender, row.epoch, got[0], ok)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	b.Heard("low", epoch, key)
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a key that was known is written again with each heartbeat")
	}
	for n := range 40 {
		b.Heard("low", bundle.Epoch{100, byte(n)}, key)
	}
	if n := len(b.senders["low"]); n != epochsMost {
		t.Errorf("%d epochs are kept of a sender that opens sessions of any", n)
	}
	if testing.AllocsPerRun(100, func() { b.Heard("other", epoch, [32]byte{9}) }) > 0 {
		t.Error("each heartbeat allocates")
	}
}

func TestNoTicketNamesWhatNobodyCouldSendAgain(t *testing.T) {
	b := open(t, 30)
	b.quarantined(1, 1)
	b.damaged(2, 2, ticket.Range{From: 4, Count: 1})
	g := b.staged[id(2)]
	g.Coming = true
	b.staged[id(2)] = g
	b.damaged(3, 3)
	g = b.staged[id(3)]
	g.Offer.Epoch = bundle.Epoch{5} // no key of it is known
	b.staged[id(3)] = g
	var no *Refusal
	for text, want := range map[string]func(error) bool{
		id(1).String():  func(err error) bool { return errors.As(err, &no) },
		id(2).String():  func(err error) bool { return errors.As(err, &no) && strings.Contains(err.Error(), "still coming in") },
		id(3).String():  func(err error) bool { return !errors.As(err, &no) && strings.Contains(err.Error(), "heartbeats") },
		id(99).String(): func(err error) bool { return errors.Is(err, ledger.ErrNotFound) },
		"abc":           func(err error) bool { return errors.Is(err, ledger.ErrNotFound) },
		"cssf/77":       func(err error) bool { return errors.Is(err, ledger.ErrNotFound) },
		"cssf/x":        func(err error) bool { return errors.Is(err, ledger.ErrNotFound) },
		"a/b/cssf/1":    func(err error) bool { return errors.Is(err, ledger.ErrNotFound) },
		"cssf/1":        func(err error) bool { return errors.As(err, &no) },
	} {
		if i, err := b.Ticket(t.Context(), alice, text); err == nil || !want(err) {
			t.Errorf("%s: %v, %v", text, i, err)
		}
	}
	if err := b.ledger.Pair(t.Context(), "low", bundle.Epoch{6}); err != nil {
		t.Fatal(err)
	}
	b.damaged(4, 4)
	if _, err := b.Ticket(t.Context(), alice, id(4).String()); !errors.As(err, &no) || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("of a replaced epoch: %v", err)
	}
	if all, err := b.All(t.Context(), alice); err != nil || len(all.Codes) != 0 || all.Unnamed != 1 {
		t.Errorf("all of a replaced epoch, and one whose key is not known: %+v, %v", all, err)
	}
}

func TestAllIsInAsFewCodesAsHoldItAndWithinTheBudget(t *testing.T) {
	b := open(t, 3)
	b.quarantined(20, 5)
	b.damaged(1, 6, ticket.Range{From: 2, Count: 1}, ticket.Range{From: 70_000, Count: 3})
	b.damaged(2, 0, ticket.Range{From: 8})
	b.sent(9)
	all, err := b.All(t.Context(), alice)
	if err != nil || len(all.Codes) != 2 || all.Unnamed != 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	got := b.read(all.Codes[1].Code)
	want := []ticket.Part{{Sequence: 1, Count: 4}, {Sequence: 6, Count: 1, Ranges: b.staged[id(1)].Ranges}, {Sequence: 7, Count: 3}}
	if fmt.Sprint(got.Parts) != fmt.Sprint(want) {
		t.Errorf("%v, should be %v", got.Parts, want)
	}
	if by := b.read(all.Codes[0].Code); by.Bundle != id(2) || fmt.Sprint(by.Parts) != "[{0 1 [{8 0}]}]" {
		t.Errorf("%+v", by)
	}
	if one, err := b.Ticket(t.Context(), alice, "low/cssf/8"); err != nil || fmt.Sprint(b.read(one.Code).Parts) != "[{8 1 []}]" {
		t.Errorf("%v", err)
	}
	for n := 30; n < 33; n++ { // more than fits one code
		var ranges []ticket.Range
		for i := range uint32(40) {
			ranges = append(ranges, ticket.Range{From: 1 + 300*i, Count: 1 + i})
		}
		b.damaged(n, uint64(n), ranges...)
	}
	all, err = b.All(t.Context(), alice)
	if err != nil || all.Unnamed != 3 || !all.Refused || len(all.Codes) != 2 { // the two that were issued before
		t.Errorf("%d codes, %d left out: %s, %v", len(all.Codes), all.Unnamed, all.Why, err)
	}
	b.now = b.now.Add(24 * time.Hour)
	b.again(100)
	b.Heard("low", epoch, key)
	if all, err = b.All(t.Context(), alice); err != nil || all.Unnamed+len(all.Codes) != 5 {
		t.Errorf("%+v, %v", all, err)
	}
	for _, i := range all.Codes {
		for _, p := range b.read(i.Code).Parts {
			for _, s := range b.staged {
				if s.Close != nil && s.Close.Sequence == p.Sequence && len(p.Ranges) > 0 && p.Ranges[0].From != s.Ranges[0].From {
					t.Errorf("of sequence %d the first that is missing is not named: %v", p.Sequence, p.Ranges)
				}
			}
		}
	}
}

// A bundle whose close was lost is one of the sequences that are missing.
func TestABundleWhoseCloseWasLostHasOneCode(t *testing.T) {
	b := open(t, 50)
	b.quarantined(1, 1)
	b.damaged(2, 0, ticket.Range{From: 5})
	b.sent(2)
	all, err := b.All(t.Context(), alice)
	if err != nil || len(all.Codes) != 1 || b.read(all.Codes[0].Code).Bundle != id(2) {
		t.Fatalf("%v, %d codes", err, len(all.Codes))
	}
	b.ledger.Beat("low", "cssf", epoch, ledger.Head{Sequence: 3, Digest: bundle.Digest{9}}) // now one of two is another
	for len(all.Codes) < 2 {
		if all, err = b.All(t.Context(), alice); err != nil || t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if p := b.read(all.Codes[1].Code).Parts; len(p) != 1 || p[0].Sequence != 2 || p[0].Count != 2 {
		t.Errorf("%+v", p)
	}
}

// A head far ahead is one part of one code, also where something of its first sequence is here.
func TestALongRunIsOnePart(t *testing.T) {
	b := open(t, 50)
	b.damaged(2, 1, ticket.Range{From: 5, Count: 2})
	b.sent(bundle.MaxSequence)
	all, err := b.All(t.Context(), alice)
	if err != nil || len(all.Codes) != 1 {
		t.Fatalf("%v, %+v", err, all)
	}
	p := b.read(all.Codes[0].Code).Parts
	if len(p) != 2 || p[0].Sequence != 1 || len(p[0].Ranges) != 1 || p[1].Sequence != 2 || p[1].Count != bundle.MaxSequence-1 {
		t.Errorf("%+v", p)
	}
	if one, err := b.Ticket(t.Context(), alice, "cssf/4711"); err != nil || b.read(one.Code).Parts[0].Sequence != 4711 {
		t.Errorf("%v, %+v", err, one)
	}
}

func TestAReceiptNamesWhatIsSafeOfItsChainAlone(t *testing.T) {
	b := open(t, 3)
	if _, err := b.Receipts(t.Context(), alice, "", ""); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	for _, n := range []int{1, 2, 3, 5, 6} {
		b.quarantined(n, uint64(n))
	}
	for _, row := range []struct{ sender, tenant bundle.Name }{{"", ""}, {"low", ""}, {"", "cssf"}, {"low", "cssf"}} {
		all, err := b.Receipts(t.Context(), alice, row.sender, row.tenant)
		if err != nil || len(all.Codes) != 1 || fmt.Sprint(all.Codes[0].Safe) != "[{1 3} {5 6}]" || all.Codes[0].Left != 2 {
			t.Fatalf("%v: %+v, %v", row, all, err)
		}
		c, err := ticket.Parse(all.Codes[0].Code)
		if err != nil || !c.IsReceipt() {
			t.Fatal(err)
		}
		r, err := c.Receipt()
		if err != nil || r.Hold([]ticket.Run{{Digest: bundle.Digest{3, 1}}, {Digest: bundle.Digest{6, 1}}}) != nil {
			t.Errorf("%+v, %v", r, err)
		}
	}
	for _, row := range []struct{ sender, tenant bundle.Name }{{"other", ""}, {"", "other"}} {
		if all, err := b.Receipts(t.Context(), alice, row.sender, row.tenant); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%v: %+v, %v", row, all, err)
		}
	}
}

func TestTheKeyOfASenderThatHasJustBegunIsWaitedFor(t *testing.T) {
	b := open(t, 3)
	b.damaged(1, 1)
	b.again(3)
	if _, err := b.Ticket(t.Context(), alice, id(1).String()); err == nil {
		t.Fatal("a code without a key")
	}
	b.Join(b.staged)
	go func() {
		time.Sleep(200 * time.Millisecond)
		b.Heard("low", epoch, key)
	}()
	if _, err := b.Ticket(t.Context(), alice, id(1).String()); err != nil {
		t.Error(err)
	}
}
