package surface

import (
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// account is what `usage --json` prints.
type account struct {
	Months []struct {
		Month, State string
		Signed       bool
		Currency     *string
		Tenants      []struct {
			Tenant                string
			Bundles, Files, Bytes int64
			Link                  *float64 `json:"link_seconds"`
			ByteDays              int64    `json:"byte_days"`
			Cost                  *struct{ Total string }
		}
	}
	Envelopes []struct {
		Tenant string
		Share  float64
		Full   bool
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What was sent and quarantined stands in the account of both sides, with its cost, and only the low side knows the link; beyond an envelope that stops, an item stays in the outbox, with the reason
// beside it, until somebody raises it.
func TestUsageIsCountedOnBothSidesAndAnEnvelopeStops(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	low.edit("\ntenants:", "\nprices: {bundle: \"0.01\", link_hour: \"3.50\"}\ntenants:")
	low.edit("    outbox:", "    envelope: {bytes: 3000, stop: true}\n    outbox:")
	high.edit("\ntenants:", "\nprices: {currency: CHF, bundle: \"2\"}\ntenants:")
	high.edit("    release: one", "    release: one\n    envelope: {bytes: 2000}")
	high.start()
	running := low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/first"), strings.Repeat("x", 2000)))
	high.reach("first", "quarantined")
	low.reach("first", "sent")
	for _, s := range []*side{low, high} {
		var a account
		s.value(&a, 0, "usage", "--month", time.Now().UTC().Format("2006-01"))
		if len(a.Months) != 1 || len(a.Months[0].Tenants) != 1 || len(a.Envelopes) != 1 || a.Months[0].State != "open" {
			t.Fatalf("%s: %+v", s.kind, a)
		}
		one := a.Months[0].Tenants[0]
		cost, currency, share := "0.01", "EUR", 2.0/3
		if s.kind == "receiver" {
			cost, currency, share = "2.00", "CHF", 1
		}
		if one.Tenant != "default" || one.Bundles != 1 || one.Files != 1 || one.Bytes != 2000 || one.Cost.Total != cost || *a.Months[0].Currency != currency || a.Envelopes[0].Share != share {
			t.Errorf("%s: %+v, %+v", s.kind, one, a.Envelopes)
		}
		if (one.Link != nil) != (s.kind == "sender") || one.Link != nil && *one.Link <= 0 {
			t.Errorf("%s: link time %v", s.kind, one.Link)
		}
		rows, err := csv.NewReader(strings.NewReader(s.ends(0, "", "usage", "--csv").out)).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][3] != "default" {
			t.Errorf("%s: %v, %v", s.kind, rows, err)
		}
		s.ends(0, "default  1", "usage")
		s.ends(0, "default", "usage", "--tenant", "default")
		s.ends(2, "is no month", "usage", "--month", "2026-13")
		s.ends(3, "is not closed", "usage", "statement", time.Now().UTC().Format("2006-01"))
	}

	stays := filepath.Join(low.dir, "outbox/default/second")
	must(t, os.Rename(write(t, filepath.Join(low.dir, "work/second"), strings.Repeat("x", 1001)), stays))
	reason := filepath.Join(low.dir, "outbox/default/.second.ecluse-reason.txt")
	low.within(10*time.Second, "the reason is there", func() bool { text, _ := os.ReadFile(reason); return strings.Contains(string(text), "envelope of") })
	if _, err := os.Stat(stays); err != nil {
		t.Errorf("the item is gone: %v", err)
	}
	low.ends(4, "envelope", "send", write(t, filepath.Join(low.dir, "work/third"), strings.Repeat("x", 1001)))
	running.stop()
	low.edit("bytes: 3000", "bytes: 6500") // second and what is on its way count, before anything of it is sent
	low.start()
	high.reach("second", "quarantined")
	var sent sync.WaitGroup
	var taken, held atomic.Int64
	for n := range 8 {
		path := write(t, filepath.Join(low.dir, fmt.Sprint("work/more-", n)), strings.Repeat("x", 1000))
		sent.Go(func() {
			switch low.try("send", path).code {
			case 0:
				taken.Add(1)
			case 4:
				held.Add(1)
			}
		})
	}
	sent.Wait()
	if taken.Load() != 3 || held.Load() != 5 {
		t.Errorf("of 8 items, of which 3 fit, %d were taken and %d held", taken.Load(), held.Load())
	}
	if _, err := os.Stat(reason); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reason stays: %v", err)
	}
	high.within(12*time.Second, "the envelope is an alarm", func() bool { return strings.Contains(high.try("status").out, "of the envelope of the year") })
}

// A month that is over is closed and signed by the running programs, by the sender's key and by one that the receiver makes for that, and plain ssh-keygen knows both.
func TestAMonthThatIsOverIsClosedAndSigned(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		lacking(t, "ssh-keygen is not here")
	}
	low, high := paired(t)
	above := high.start()
	below := low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/item"), "12345"))
	high.reach("item", "quarantined")
	low.reach("item", "sent")
	below.stop()
	above.stop()
	then := time.Now().UTC().AddDate(0, -2, 0)
	then = time.Date(then.Year(), then.Month(), 20, 0, 0, 0, 0, time.UTC)
	for s, set := range map[*side]string{low: `created = ?1, counted = ?1, finished = ?1`, high: `quarantined = ?1`} {
		db, err := sql.Open("sqlite", filepath.Join(s.dir, "state/catalog.db"))
		must(t, err)
		_, err = db.Exec(`UPDATE bundles SET `+set, then.UnixNano())
		must(t, errors.Join(err, db.Close()))
		running := s.start()
		month := then.Format("2006-01")
		file := filepath.Join(s.dir, "state/usage", month+".json")
		s.within(10*time.Second, "it is signed", func() bool { _, err := os.Stat(file + ".sig"); return err == nil })
		r := s.ends(0, "ssh-keygen -Y verify", "usage", "statement", month)
		text, err := os.ReadFile(file)
		if err != nil || r.out != string(text) || !strings.Contains(r.out, `"bytes": 5,`) {
			t.Errorf("%s: it prints %s, and %s stands there, %v", s.kind, r.out, text, err)
		}
		_, check, _ := strings.Cut(r.err, "check it:\n")
		if out, err := exec.Command("sh", "-c", check).CombinedOutput(); err != nil || !strings.Contains(string(out), `Good "usage@ecluse" signature`) {
			t.Errorf("%s: %s: %s, %v", s.kind, check, out, err)
		}
		stick := t.TempDir()
		r = s.ends(0, "", "usage", "statement", month, "--dir", stick)
		_, check, _ = strings.Cut(r.err, "check it:\n")
		if out, err := exec.Command("sh", "-c", check).CombinedOutput(); err != nil || !strings.Contains(check, stick) {
			t.Errorf("%s: %s: %s, %v", s.kind, check, out, err)
		}
		running.stop()
		must(t, os.WriteFile(file, []byte(strings.Replace(string(text), `"bytes": 5,`, `"bytes": 6,`, 1)), 0o600))
		s.ends(4, "does not hold", "usage", "statement", month)
		must(t, os.WriteFile(file, text, 0o600))
		s.ends(0, "closed, signed", "usage", "--month", month)
	}
}
