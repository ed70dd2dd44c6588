package chamber

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/racing"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// The child is told where it lives and before which act on its disk it is killed.
const (
	childDir  = "ECLUSE_TEST_CHAMBER_DIR"
	childKill = "ECLUSE_TEST_CHAMBER_KILL"
)

// walk is what a life is about: one item that nobody is asked about and that goes to two destinations, one that a person releases, and one that is prepared for its destination before it
// comes into quarantine.
func walk(t testing.TB, dir string) (p *plan, auto, asked, moved *item) {
	p = planIn(t, dir, release.ModeOne)
	p.tenant("auto", release.ModeAutomatic, imports, "second")
	auto = p.lows[0].pack(t, "auto", small("auto"))
	asked = p.lows[0].pack(t, "cssf", small("asked"))
	p.tenant("near", release.ModeAutomatic, "third")
	moved = p.lows[0].pack(t, "near", small("near"))
	return p, auto, asked, moved
}

// walked opens a house that takes all of a walk to its end.
func walked(t testing.TB, p *plan, items ...*item) *house {
	h := p.open(t)
	h.noteTransfer(p.at("third"), deliver.Result{})
	for _, i := range items {
		h.finish(i)
	}
	return h
}

// finish brings an item to its end, wherever it stands.
func (h *house) finish(i *item) {
	h.t.Helper()
	h.receive(i.from, i.whole()...)
	eventually(h.t, i.offer.Name+" is decided or asks for a person", func() bool {
		r, err := h.ledger.Get(i.id())
		return err == nil && r.State.Stored()
	})
	if i.offer.Tenant == "cssf" && h.record(i).State == ledger.Quarantined {
		must(h.t, h.approve(i, 1))
	}
	h.becomes(i, ledger.Imported)
}

// TestChild is a life that is killed; it runs only as a child.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("it is run by TestAKilledLifeIsFinishedByTheNext")
	}
	at, err := strconv.Atoi(os.Getenv(childKill))
	must(t, err)
	p, auto, asked, moved := walk(t, dir)
	acts := 0
	p.disk.before = func(act, path string) error { // one at a time: kill has to be the last thing that happens
		p.disk.mu.Lock()
		defer p.disk.mu.Unlock()
		if acts++; acts == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	walked(t, p, auto, asked, moved)
}

// live runs a child, and says whether it was killed.
func live(t *testing.T, dir string, at int) (killed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childKill+"="+strconv.Itoa(at))
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL && ctx.Err() == nil {
		return true
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestChild")) {
		t.Fatalf("the child that is killed before act %d: %v\n%s", at, err, out)
	}
	return false
}

// TestAKilledLifeIsFinishedByTheNext kills the house before each act on its disk, on its way and once more on the way of the next, and has a third life finish.
func TestAKilledLifeIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	const most = 500
	for at := 1; ; at += racing.Stride {
		dir := t.TempDir()
		for _, name := range []string{imports, "second", "third"} {
			must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		}
		if !live(t, dir, at) {
			if at < 20 {
				t.Errorf("a whole life has %d acts: nothing was tried", at)
			}
			return
		}
		if at > most {
			t.Fatalf("a life has more than %d acts", most)
		}
		if at%4 == 0 {
			live(t, dir, 4+at%13)
		}
		if !t.Run(fmt.Sprint("before act ", at), func(t *testing.T) { finished(t, dir) }) {
			return
		}
	}
}

// finished opens a last life, and requires that everything stands where it belongs, once.
func finished(t *testing.T, dir string) {
	p, auto, asked, moved := walk(t, dir)
	h := walked(t, p, auto, asked, moved)
	stands(t, p.at(imports), auto, asked)
	stands(t, p.at("second"), auto)
	stands(t, p.at("third"), moved)
	for _, i := range []*item{auto, asked, moved} {
		eventually(t, "papers alone are left of it", func() bool { return names(t, p.quarantine(i)) == papers })
		h.unstaged(i)
		if r := h.record(i); *r.Sequence != 1 || r.Manifest == nil || len(r.Deliveries) != len(p.tenants[r.Tenant].Destinations) {
			t.Errorf("its record: %+v", r)
		}
	}
	for tenant, i := range map[bundle.Name]*item{"auto": auto, "cssf": asked, "near": moved} {
		eventually(t, "nothing else stands in quarantine", func() bool { return names(t, p.at(state, "quarantine", string(tenant))) == i.id().String() })
	}
	if got := strings.TrimSpace(names(t, p.at(state, "receiving"))); got != "" {
		t.Errorf("in staging stand %s", got)
	}
	if h.reservations() != 0 {
		t.Errorf("%d places are reserved", h.reservations())
	}
}
