package house

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// goes takes a bundle of a state through states, with entries in its log.
func goes(t *testing.T, dir string, id bundle.ID, states ...ledger.State) {
	t.Helper()
	d := disk.New()
	l, err := ledger.Open(t.Context(), dir, d, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := audit.Open(audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: auditOrigin, Now: time.Now})
	if err == nil {
		err = l.SetAudit(a)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	for _, s := range states {
		err = errors.Join(err, l.Change(t.Context(), id, func(r *ledger.Record) error {
			r.Tenant, r.Sender, r.Epoch, r.State = "t", "s", bundle.Epoch{1}, s
			return nil
		}))
	}
	stop()
	if err := errors.Join(err, <-ended, l.Close(true), a.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAPersonAcceptsIsWhatTheLogTellsOf(t *testing.T) {
	dir := t.TempDir()
	old, gone := bundle.ID{1}, bundle.ID{2}
	goes(t, dir, old, ledger.Receiving, ledger.Quarantined)
	goes(t, dir, gone, ledger.Receiving, ledger.Quarantined)
	path := ledger.RecordPath(dir, old)
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	goes(t, dir, old, ledger.Approved)
	if err := errors.Join(os.WriteFile(path, backup, 0o600), os.Truncate(ledger.RecordPath(dir, gone), 20)); err != nil {
		t.Fatal(err)
	}
	faults := func() int {
		r, err := audit.Verify(audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}, nil, "", ledger.Digests(disk.New(), dir))
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Faults)
	}
	if n := faults(); n != 2 {
		t.Fatalf("%d faults where one record is old and one is torn", n)
	}
	if _, err := Accept(dir, disk.New(), ledger.Acceptance{At: time.Now(), Who: "ada", Reason: "monday's backup"}); err != nil {
		t.Fatal(err)
	}
	goes(t, dir, bundle.ID{3}, ledger.Receiving, ledger.Quarantined)
	if n := faults(); n != 0 {
		t.Errorf("%d faults after a person has accepted what stands there", n)
	}
	all, err := audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}.List(audit.Query{})
	told := map[string]int{}
	for _, e := range all {
		told[e.Event+" "+e.Who+e.Record[:min(4, len(e.Record))]]++
	}
	if err != nil || told["accepted ada"] != 1 || told["stands gone"] != 1 {
		t.Errorf("%v, %v", told, err)
	}
}
