package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
)

func TestADaemonLooksThroughItsAuditLogOnceADay(t *testing.T) {
	state := t.TempDir()
	l, err := audit.Open(audit.Options{Dir: audit.Dir(state), Disk: disk.New(), Origin: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := l.Append(audit.Entry{Event: "imported", Tenant: "cssf"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Settle(); err != nil {
		t.Fatal(err)
	}
	key := l.Public()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var told [][]string
		go lookThrough(t.Context(), state, key, func(faults []string) { told = append(told, faults) })
		time.Sleep(firstCheck + time.Second)
		if synctest.Wait(); len(told) != 1 || len(told[0]) != 0 {
			t.Errorf("of a log that holds it says %v", told)
		}
		path := filepath.Join(audit.Dir(state), "entries", "0000000000000000")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(text, []byte("cssf"), []byte("ctie"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(nextChecks)
		if synctest.Wait(); len(told) != 2 || len(told[1]) == 0 || !strings.HasPrefix(told[1][0], "entry 1 is not the one that was hashed") {
			t.Errorf("of one with an edited entry it says %v", told)
		}
	})
}

func TestWhatAnAlarmSaysOfTheAuditLog(t *testing.T) {
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(audit.Dir(state), "damaged-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	texts := auditFaults(disk.New(), state, map[string]bool{"/a": true, "/b": false})
	if len(texts) != 2 || !strings.Contains(texts[0], "damaged-1: ") || !strings.HasPrefix(texts[1], "/a: ") {
		t.Errorf("%q", texts)
	}
	if texts := auditFaults(disk.New(), t.TempDir(), nil); len(texts) > 0 {
		t.Errorf("of nothing: %q", texts)
	}
}
