package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ecluse/protocol/bundle"
)

// sent are the manifests that were durable, which may have left.
type sent map[uint64]*Signed

func (s sent) take(t testing.TB, n *Signed) {
	t.Helper()
	if old := s[n.Sequence]; old != nil && (old.Digest != n.Digest || !bytes.Equal(old.Signature, n.Signature)) {
		t.Fatalf("sequence %d was given to two manifests", n.Sequence)
	}
	s[n.Sequence] = n
}

// unbroken holds that every manifest names the one before it, and that no sequence is left out.
func (s sent) unbroken(t testing.TB) {
	t.Helper()
	var before bundle.Digest
	for n := uint64(1); n <= uint64(len(s)); n++ {
		if s[n] == nil || s[n].Previous != before {
			t.Fatalf("sequence %d of %d: %+v does not follow %s", n, len(s), s[n], before)
		}
		before = s[n].Digest
	}
}

// resume does what a start does: what is signed is sent as it is, what is not is signed.
func (b *book) resume(all sent) {
	b.t.Helper()
	list, err := b.Unfinished(context.Background())
	must(b.t, err)
	for _, r := range list {
		s, err := b.Signed(r)
		must(b.t, err)
		if s == nil {
			m := manifest(0)
			m.Bundle = r.Bundle
			s, err = b.Sign(context.Background(), signer{}, m)
			must(b.t, err)
		}
		all.take(b.t, s)
	}
}

// TestSignGivesEachSequenceOnceOverCrashes kills the process before each act on the disk in turn, and before all that follow it.
func TestSignGivesEachSequenceOnceOverCrashes(t *testing.T) {
	points := 0
	for _, together := range []bool{false, true} {
		for at := 1; ; at++ {
			dir, all := t.TempDir(), sent{}
			b := open(t, dir)
			for n := range 4 {
				must(t, b.claim(n))
			}
			s, err := b.sign(0)
			must(t, err)
			all.take(t, s)
			dead := false
			b.disk.set(func(op int, act, path string) error {
				if dead = dead || op >= at; dead {
					return fmt.Errorf("%w: %s %s", errTest, act, path)
				}
				return nil
			})
			results := b.signMany(together, 1, 2, 3)
			crashed := false
			for _, r := range results {
				if r == nil {
					crashed = true
					continue
				}
				all.take(t, r)
			}
			_ = b.end(false)
			for range 2 { // and once more: what a start finds must not depend on how often it looks
				b = open(t, dir)
				b.resume(all)
				must(t, b.end(false))
			}
			if len(all) != 4 {
				t.Fatalf("crash at %d: %d manifests for 4 bundles", at, len(all))
			}
			all.unbroken(t)
			if !crashed {
				break
			}
			points++
		}
	}
	if points < 10 {
		t.Fatalf("only %d crashes: the disk was not in the way", points)
	}
}

// signMany signs bundles, one after the other or in one batch; nil stands for an error.
func (b *book) signMany(together bool, list ...int) []*Signed {
	results := make([]*Signed, len(list))
	var group sync.WaitGroup
	var hold chan struct{}
	if together {
		hold = make(chan struct{})
		b.Post(id(list[0]), func(*Record) error { <-hold; return errTest }, func(error) {})
	}
	for i, n := range list {
		sign := func() { results[i], _ = b.sign(n) }
		if !together {
			sign()
			continue
		}
		group.Go(sign)
	}
	if together {
		for len(b.requests) < len(list) {
			select {
			case <-b.Ledger.ended:
				group.Wait()
				return results
			default:
			}
		}
		close(hold)
	}
	group.Wait()
	return results
}

func TestConcurrentSignsShareASync(t *testing.T) {
	b := open(t, t.TempDir())
	const n = 100
	list := make([]int, n)
	for i := range list {
		list[i] = i
		must(t, b.claim(i))
	}
	before := b.disk.syncs
	all := sent{}
	for _, s := range b.signMany(true, list...) {
		if s == nil {
			t.Fatal("a Sign failed")
		}
		all.take(t, s)
	}
	all.unbroken(t)
	if len(all) != n || b.disk.syncs-before != 2 {
		t.Fatalf("%d sequences with %d syncs", len(all), b.disk.syncs-before)
	}
	must(t, b.end(true))
}

// TestNothingIsSignedByHalf lets one act fail and the next succeed, as a full disk does: an error means that nothing may leave, and the place is given to another.
func TestNothingIsSignedByHalf(t *testing.T) {
	for at := 1; ; at++ {
		dir, all := t.TempDir(), sent{}
		b := open(t, dir)
		must(t, errors.Join(b.claim(0), b.claim(1), b.claim(2)))
		reached := false
		b.disk.set(func(op int, act, path string) error {
			if op == at {
				reached = true
				if act == "sync" { // that ends everything, and has a test of its own
					return nil
				}
				return fmt.Errorf("%w: %s %s", errTest, act, path)
			}
			return nil
		})
		failed := 0
		for _, s := range b.signMany(true, 0, 1, 2) {
			if s == nil {
				failed++
				continue
			}
			all.take(t, s)
		}
		b.disk.set(nil)
		for n := range 3 {
			r, err := b.Get(id(n))
			must(t, err)
			if (r.Sequence == nil) != (sequenceOf(all, n, b) == 0) {
				t.Fatalf("failure at %d: bundle %d has the sequence %v", at, n, r.Sequence)
			}
		}
		must(t, b.claim(3))
		if failed > 0 { // the place that came free goes to another before the crash
			s, err := b.sign(3)
			must(t, err)
			all.take(t, s)
		}
		_ = b.end(false)
		b = open(t, dir)
		b.resume(all)
		must(t, b.end(true))
		if len(all) != 4 {
			t.Fatalf("failure at %d: %d manifests for 4 bundles", at, len(all))
		}
		all.unbroken(t)
		if !reached {
			if at < 15 {
				t.Fatalf("only %d failures: the disk was not in the way", at)
			}
			return
		}
	}
}

func sequenceOf(all sent, n int, b *book) uint64 {
	for q, s := range all {
		if filepath.Dir(s.Path) == b.bundleDir(id(n)) {
			return q
		}
	}
	return 0
}

func TestAFailedSyncEndsTheLedger(t *testing.T) {
	for n, name := range []string{"of contents", "of names"} {
		t.Run(name, func(t *testing.T) { failedSync(t, n) })
	}
}

// failedSync has a sync fail after n good ones.
func failedSync(t *testing.T, n int) {
	dir := t.TempDir()
	b := open(t, dir)
	must(t, b.claim(0))
	b.disk.set(func(_ int, act, _ string) error {
		if act != "sync" {
			return nil
		}
		if n--; n < 0 {
			return errTest
		}
		return nil
	})
	if s, err := b.sign(0); !errors.Is(err, ErrFatal) || !errors.Is(err, errTest) || s != nil {
		t.Fatalf("Sign after a failed sync: %v, %v", s, err)
	}
	<-b.Ledger.ended
	b.disk.set(nil)
	if err := b.claim(1); !errors.Is(err, ErrFatal) {
		t.Fatalf("a change after the end: %v", err)
	}
	posted := make(chan error, 1)
	b.Post(id(1), func(*Record) error { return nil }, func(err error) { posted <- err })
	if err := <-posted; !errors.Is(err, ErrFatal) {
		t.Fatalf("a post after the end: %v", err)
	}
	if err := b.end(false); !errors.Is(err, ErrFatal) {
		t.Fatalf("Run returned %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	b := open(t, t.TempDir())
	must(t, errors.Join(b.claim(1), b.claim(2), b.claim(3), b.claim(4)))
	b.become(1, Failed)
	_, err := b.sign(2)
	must(t, err)
	other := manifest(3)
	other.Tenant = "other"
	for name, sign := range map[string]func() (*Signed, error){
		"an unknown bundle":    func() (*Signed, error) { return b.sign(9) },
		"a bundle that failed": func() (*Signed, error) { return b.sign(1) },
		"a second time":        func() (*Signed, error) { return b.sign(2) },
		"for another tenant":   func() (*Signed, error) { return b.Sign(context.Background(), signer{}, other) },
		"without a signature":  func() (*Signed, error) { return b.Sign(context.Background(), signer{errTest}, manifest(4)) },
		"what is no manifest": func() (*Signed, error) {
			m := manifest(4)
			m.Name = "a/b"
			return b.Sign(context.Background(), signer{}, m)
		},
		"after its caller left": func() (*Signed, error) { return b.Sign(ended(), signer{}, manifest(9)) },
	} {
		if s, err := sign(); err == nil || s != nil {
			t.Errorf("%s: signed", name)
		}
	}
	if h := b.Head("default"); h.Sequence != 1 {
		t.Errorf("the chain stands at %d after one signature", h.Sequence)
	}
	if h := b.Head("other"); h.Sequence != 0 || h.Digest != (bundle.Digest{}) || h.Epoch != thisEpoch {
		t.Errorf("an empty chain is %+v", h)
	}
	s, err := b.sign(4)
	must(t, err)
	if s.Sequence != 2 {
		t.Errorf("a refusal took the sequence %d", s.Sequence)
	}
	must(t, b.end(true))
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestSignedIsReadBackAsItWas(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	must(t, b.claim(1))
	s, err := b.sign(1)
	must(t, err)
	must(t, b.end(true))
	b = open(t, dir)
	r, err := b.Get(id(1))
	must(t, err)
	got, err := b.Signed(r)
	must(t, err)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", s) {
		t.Errorf("read back %+v, signed %+v", got, s)
	}
	text, err := os.ReadFile(s.Path)
	must(t, err)
	if int64(len(text)) != s.Size {
		t.Errorf("%d bytes, Size says %d", len(text), s.Size)
	}
	m, err := b.Manifest(id(1))
	if err != nil || m.Sequence != s.Sequence || m.Digest != s.Digest {
		t.Errorf("manifest %+v, %v", m, err)
	}
	must(t, b.end(true))
}

// TestAPowerCutTakesNothingThatWasDurable tears files of a batch that was never synced.
func TestAPowerCutTakesNothingThatWasDurable(t *testing.T) {
	claim := func(n int) string { return filepath.Join("bundles", id(n).String(), claimName) }
	text := func(n int) string { return filepath.Join("bundles", id(n).String(), manifestName) }
	seal := func(n int) string { return filepath.Join("bundles", id(n).String(), signatureName) }
	for name, row := range map[string]struct {
		torn []string
		left []State // of bundles 1, durable before, and 2
		next uint64  // that bundle 2, or a new one where that is signed, gets
		gap  bool
	}{
		"the chain":                              {[]string{"chain/default.json"}, []State{Sending, Sending}, 2, false},
		"the record":                             {[]string{claim(2)}, []State{Sending, Sending}, 2, false},
		"the record and the manifest":            {[]string{claim(2), text(2)}, []State{Sending, ""}, 3, true},
		"the record, the manifest and the chain": {[]string{claim(2), text(2), "chain/default.json"}, []State{Sending, ""}, 2, false},
		"the manifest":                           {[]string{text(2)}, []State{Sending, Sending}, 3, true},
		"the signature":                          {[]string{seal(2)}, []State{Sending, Sending}, 3, true},
		"the manifest and the chain":             {[]string{text(2), "chain/default.json"}, []State{Sending, Sending}, 2, false},
		"the older record and the chain":         {[]string{claim(1), claim(2), "chain/default.json"}, []State{Sending, Sending}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, all := t.TempDir(), sent{}
			b := open(t, dir)
			must(t, errors.Join(b.claim(1), b.claim(2)))
			b.become(1, Sending)
			b.become(2, Sending)
			first, err := b.sign(1)
			must(t, err)
			all.take(t, first)
			_, err = b.sign(2)
			must(t, err)
			must(t, b.end(false))
			for _, path := range row.torn {
				tear(t, dir, path)
			}
			b = open(t, dir)
			for i, want := range row.left {
				if got := b.state(i + 1); got != want {
					t.Errorf("bundle %d is %q, want %q", i+1, got, want)
				}
			}
			must(t, b.claim(2))
			b.resume(all)
			if all[row.next] == nil || len(all) != 2 {
				t.Errorf("the second manifest is not %d: %v", row.next, all)
			}
			if !row.gap {
				all.unbroken(t)
			}
			must(t, b.end(false))
		})
	}
}

func TestAChainThatCannotBeTrustedIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"no JSON":                func(p string) error { return os.WriteFile(p, []byte("{"), 0o600) },
		"another tenant's chain": func(p string) error { return os.Rename(p, filepath.Join(filepath.Dir(p), "other.json")) },
		"one from before": func(p string) error {
			return os.WriteFile(p, []byte(`{"tenant":"default","epoch":"`+thisEpoch.String()+`","sequence":0,"digest":"`+bundle.Digest{}.String()+`"}`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			must(t, b.claim(1))
			_, err := b.sign(1)
			must(t, err)
			b.become(1, Sending, Sent)
			must(t, b.end(false))
			must(t, spoil(filepath.Join(dir, "chain", "default.json")))
			if l, err := Open(context.Background(), dir, b.disk, thisEpoch, nil); err == nil {
				must(t, l.Close(false))
				t.Fatal("opened")
			}
		})
	}
}

func TestAnotherEpochBeginsAnotherChain(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	must(t, errors.Join(b.claim(1), b.claim(2)))
	_, err := b.sign(1)
	must(t, err)
	must(t, b.end(false))
	thisEpoch[0]++
	defer func() { thisEpoch[0]-- }()
	b = open(t, dir)
	s, err := b.sign(2)
	must(t, err)
	r, err := b.Get(id(2))
	must(t, err)
	if s.Sequence != 1 || s.Previous != (bundle.Digest{}) || r.Epoch != thisEpoch {
		t.Errorf("%+v, %+v", s, r)
	}
	must(t, b.end(true))
}
