package watch

import (
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/collect"
	"ecluse/receiver/ledger"
)

// healthy is a status without an alarm.
func healthy() (*Status, Facts) {
	beat := 0.5
	return &Status{
		Running: true,
		Links:   []Link{{Name: "a", LastHeartbeat: &beat, Packets: collect.PacketCounts{Accepted: 1e6}}},
		Bundles: map[ledger.State]int64{ledger.Imported: 7},
		Disk:    Disk{Free: 100, Reserve: 10, Inodes: -1},
	}, Facts{Silence: 10 * time.Second, Up: time.Hour, Expecting: true}
}

func TestEachFaultHasItsAlarmAndHealthHasNone(t *testing.T) {
	late, at := 11.0, time.Date(2026, 9, 22, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name  string
		wrong func(*Status, *Facts)
		want  string
	}{
		{"health", func(*Status, *Facts) {}, ""},
		{"stopped", func(s *Status, _ *Facts) { s.Running = false }, "stopped"},
		{"refusals", func(_ *Status, f *Facts) {
			f.Refused = map[bundle.Reason]int64{bundle.ReasonQuota: 2, bundle.ReasonManifestSender: 1}
		}, "refused"},
		{"not to be reached", func(s *Status, f *Facts) { s.Running, f.Held = false, true }, "unreachable"},
		{"a late heartbeat", func(s *Status, _ *Facts) { s.Links[0].LastHeartbeat = &late }, "silence"},
		{"no heartbeat ever", func(s *Status, _ *Facts) { s.Links[0].LastHeartbeat = nil }, "silence"},
		{"no heartbeat yet", func(s *Status, f *Facts) { s.Links[0].LastHeartbeat, f.Up = nil, time.Second }, ""},
		{"nobody is enrolled", func(s *Status, f *Facts) { s.Links[0].LastHeartbeat, f.Expecting = nil, false }, ""},
		{"loss in this host", func(s *Status, f *Facts) {
			f.Lately = map[string]Lately{s.Links[0].Name: {Here: 20_000, Accepted: 1_000_000}}
		}, "overload"},
		{"a little loss in this host", func(s *Status, f *Facts) {
			f.Lately = map[string]Lately{s.Links[0].Name: {Here: 9000, Accepted: 1_000_000}}
		}, ""},
		{"loss in this host that is over", func(s *Status, _ *Facts) { s.Links[0].Lost.Kernel = 20_000 }, ""},
		{"loss on the link", func(s *Status, _ *Facts) { s.Links[0].Lost.Link = 500_000 }, ""},
		{"missing", func(s *Status, _ *Facts) { s.Bundles[ledger.Missing] = 1 }, "missing"},
		{"damaged", func(s *Status, _ *Facts) { s.Bundles[ledger.Damaged] = 1 }, "damaged"},
		{"undelivered", func(_ *Status, f *Facts) { f.Undone = 1 }, "delivery"},
		{"a tenant that was removed", func(_ *Status, f *Facts) { f.Homeless = []bundle.Name{"gone"} }, "tenant"},
		{"what was flagged after its delivery", func(_ *Status, f *Facts) { f.Unseen = 2 }, "inspection"},
		{"an audit log that was set aside", func(_ *Status, f *Facts) { f.Audit = []string{"/state/audit/damaged-1: it was set aside"} }, "audit"},
		{"a fork", func(_ *Status, f *Facts) { f.Suspect = map[bundle.Reason]int64{bundle.ReasonSequenceFork: 1} }, "sequence-fork"},
		{"a full disk", func(s *Status, _ *Facts) { s.Disk.Free = 9 }, "disk"},
		{"the clock set back", func(_ *Status, f *Facts) { f.Ahead = time.Hour }, "clock"},
		{"trust that was broken by an edit", func(_ *Status, f *Facts) { f.Untrusted = "line 3" }, "trust"},
		{"who may sign cannot be read", func(_ *Status, f *Facts) { f.Unsigned = map[bundle.Name]string{"cssf": "line 3"} }, "trust"},
		{"a fresh delivery", func(s *Status, _ *Facts) {
			s.Arrivals = []Arrival{{Tenant: "cssf", Limit: 3600, Newest: &at, Age: 3600}}
		}, ""},
		{"an old delivery", func(s *Status, _ *Facts) {
			s.Arrivals = []Arrival{{Tenant: "cssf", Limit: 3600, Newest: &at, Age: 3601}}
		}, "stale"},
		{"no delivery yet", func(s *Status, _ *Facts) { s.Arrivals = []Arrival{{Tenant: "cssf", Limit: 3600, Age: 3599}} }, ""},
		{"no delivery ever", func(s *Status, _ *Facts) { s.Arrivals = []Arrival{{Tenant: "cssf", Limit: 3600, Age: 7200}} }, "stale"},
		{"a stuck drain", func(_ *Status, f *Facts) { f.Stuck = []string{"the drain"} }, "stuck"},
	} {
		s, f := healthy()
		row.wrong(s, &f)
		got := Alarms(s, f)
		switch {
		case row.want == "" && len(got) > 0, row.want != "" && (len(got) != 1 || got[0].Name != row.want):
			t.Errorf("%s: %v, want %q", row.name, got, row.want)
		}
	}
}

func TestAStaleTenantIsNamedWithItsAge(t *testing.T) {
	at := time.Date(2026, 9, 22, 12, 0, 0, 0, time.UTC)
	s, f := healthy()
	s.Arrivals = []Arrival{{Tenant: "cssf", Limit: 86400, Newest: &at, Age: 26 * 3600}, {Tenant: "other", Limit: 3600, Age: 7200}}
	got := Alarms(s, f)
	if len(got) != 2 || got[0].About != "cssf" || got[1].About != "other" {
		t.Fatalf("%+v", got)
	}
	for i, words := range [][]string{{"tenant cssf", "26h", "2026-09-22T12:00:00Z", "1d", "list --tenant cssf"}, {"tenant other", "nothing was ever delivered", "2h", "1h"}} {
		for _, w := range words {
			if !strings.Contains(got[i].Text, w) {
				t.Errorf("%q is not said: %s", w, got[i].Text)
			}
		}
	}
}

func TestLossIsAnAlarmForAMinuteAndHoweverLongTheProcessHasRun(t *testing.T) {
	r := make(Recent)
	links := []Link{{Name: "a"}}
	alarmed := 0
	for second := range 3600 {
		links[0].Packets.Accepted += 10_000
		if second == 3000 {
			links[0].Lost.Queue += 20_000
		}
		r.Note(links)
		s, f := healthy()
		s.Links[0].Name, f.Lately = "a", r.Lately(links)
		if len(Alarms(s, f)) > 0 {
			alarmed++
		}
	}
	if alarmed < 55 || alarmed > 65 {
		t.Errorf("the alarm stood for %d seconds of an hour", alarmed)
	}
}
