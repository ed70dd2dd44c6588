package meter

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
)

// told is what a log says of months.
func told(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := audit.Reader{Disk: disk.New(), Dir: dir}.List(audit.Query{})
	must(t, err)
	for _, e := range entries[1:] {
		list = append(list, e.Event+" "+e.Text+" "+string(e.Data))
	}
	return list
}

// What was closed, and what was signed, stands in the audit log, with the digest of the statement; no signature is there of which the log does not tell, and none is told twice.
func TestTheLogTellsOfMonthsThatAreClosedAndSigned(t *testing.T) {
	began := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	h := newHouse(t, began)
	dir := filepath.Join(h.dir, "audit")
	l, err := audit.Open(audit.Options{Dir: dir, Disk: disk.New(), Origin: "test", Now: h.o.Now})
	must(t, err)
	h.o.Audit = l
	broken := true
	h.disk.fail = func(path string) error {
		if broken && strings.HasSuffix(path, ".sig") {
			return errTest
		}
		return nil
	}
	h.open()
	h.happens(began, "cssf", 1000)
	h.now = began.AddDate(0, 1, 0)
	_ = h.Tick(t.Context()) // the disk does not take the signature
	broken = false
	h.now = h.now.Add(2 * signAgain)
	must(t, h.Tick(t.Context()))
	h.open()
	must(t, h.Tick(t.Context()))
	text, sig, err := h.o.Book.Text(month(t, "2026-01"))
	must(t, err)
	if sig == nil {
		t.Fatal("it is not signed")
	}
	says := fmt.Sprintf(` 2026-01 {"statement":"%x"}`, sha256.Sum256(text))
	want := []string{"month-closed" + says, "month-signed" + says, "month-signed" + says} // the first signature was made, and did not become durable
	if have := told(t, dir); strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log says\n%s, not\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	must(t, l.Close())
	h.now = h.now.AddDate(0, 1, 0)
	if err := h.Tick(t.Context()); err == nil {
		t.Error("a month is closed of which the log cannot be told, and nobody hears of it")
	}
	if _, sig, err := h.o.Book.Text(month(t, "2026-02")); err != nil || sig != nil {
		t.Errorf("it is signed although the log does not tell: %v", err)
	}
}
