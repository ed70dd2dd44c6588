package dispatch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ecluse/internal/disk"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// synced notes which file systems are synced, and what the ledger puts in place, in their order; a sync of the outbox may fail.
type synced struct {
	mu     sync.Mutex
	outbox string
	fault  error
	acts   []string
}

func (p *synced) Before(op *disk.Op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op.Kind != disk.SyncSystem || op.Path != p.outbox {
		return nil
	}
	p.acts = append(p.acts, "outbox synced")
	return p.fault
}

func (p *synced) After(op *disk.Op, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op.Kind == disk.Rename && strings.Contains(op.To, "/chain/") {
		p.acts = append(p.acts, "chain moved")
	}
}

// elsewhere moves the yard's outbox to another file system than the state's, under a probe.
func elsewhere(t *testing.T, y *yard) *synced {
	t.Helper()
	state, err := disk.Device(t.TempDir())
	must(t, err)
	dir := ""
	for _, place := range []string{"/tmp", "/var/tmp", "/dev/shm", "."} {
		if device, err := disk.Device(place); err != nil || device == state {
			continue
		}
		if dir, err = os.MkdirTemp(place, "ecluse-test-"); err == nil {
			break
		}
	}
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no second file system here, so an outbox on one is not tested")
		}
		t.Skip("SKIPPED: there is no second file system here, so an outbox on one is not tested")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	dir, err = filepath.Abs(dir)
	must(t, err)
	p := &synced{outbox: dir}
	y.disk.Disk = disk.Watched(p)
	y.boxes[0], err = outbox.Open(outbox.Options{Disk: y.disk.Disk, Dir: dir, Tenant: y.tenants[0]})
	must(t, err)
	return p
}

// An outbox that the ledger's syncs do not reach is durable, with the claim, before what it holds has a place in the chain.
func TestAnOutboxElsewhereIsDurableBeforeItsItemsAreSigned(t *testing.T) {
	y := build(t)
	p := elsewhere(t, y)
	l := y.start()
	item := l.send("item", map[string][]byte{"": []byte("content")})
	l.reach(item.ID, ledger.Sent)
	must(t, l.end())
	if len(p.acts) < 2 || p.acts[0] != "outbox synced" || p.acts[1] != "chain moved" {
		t.Errorf("%v, want the outbox synced and then the chain moved", p.acts)
	}
}

// What is on a disk after a failed sync is not known: nothing is signed, and the process ends.
func TestASyncOfTheOutboxThatFailsIsTheEnd(t *testing.T) {
	y := build(t)
	p := elsewhere(t, y)
	p.fault = syscall.EIO
	l := y.start()
	l.send("item", map[string][]byte{"": []byte("content")})
	<-l.ctx.Done()
	if err := l.fatal(); !errors.Is(err, ledger.ErrFatal) || !errors.Is(err, syscall.EIO) {
		t.Errorf("it ended with %v", err)
	}
	for _, act := range p.acts {
		if act == "chain moved" {
			t.Error("it was signed")
		}
	}
}

// So it is when a command has asked for the sync, and is told of the error: a later sync would succeed, and say nothing of what this one has lost.
func TestASyncThatFailsForACommandIsTheEndToo(t *testing.T) {
	y := build(t)
	p := elsewhere(t, y)
	p.fault = syscall.EIO
	l := y.start()
	if err := l.Durable(0); !errors.Is(err, ledger.ErrFatal) {
		t.Errorf("the command is told %v", err)
	}
	if err := l.fatal(); !errors.Is(err, ledger.ErrFatal) {
		t.Errorf("the dispatcher goes on: %v", err)
	}
}
