package watch

import (
	"testing"
	"time"
)

func TestEachFaultHasItsAlarmAndHealthHasNone(t *testing.T) {
	small := 1400
	for _, row := range []struct {
		name  string
		wrong func(*Status, *Facts)
		want  string
	}{
		{"health", func(*Status, *Facts) {}, ""},
		{"stopped", func(s *Status, _ *Facts) { s.Running = false }, "stopped"},
		{"not to be reached", func(s *Status, f *Facts) { s.Running, f.Held = false, true }, "unreachable"},
		{"a stuck link", func(_ *Status, f *Facts) { f.Stuck = []string{"link"} }, "stuck"},
		{"an outbox that is gone", func(_ *Status, f *Facts) { f.Gone = []string{"/o"} }, "outbox"},
		{"a small route", func(s *Status, _ *Facts) { s.Links[0].RouteMTU = &small }, "mtu"},
		{"an interface that is down", func(_ *Status, f *Facts) { f.Errors = 3 }, "unsent"},
		{"a full disk", func(_ *Status, f *Facts) { f.Full = []string{"/s"} }, "disk"},
		{"a configuration that was broken by an edit", func(_ *Status, f *Facts) { f.Unread = "line 3" }, "configuration"},
		{"the clock set back", func(_ *Status, f *Facts) { f.Ahead = time.Hour }, "clock"},
		{"a clock as its file rounds it", func(_ *Status, f *Facts) { f.Ahead = time.Second }, ""},
		{"something failed", func(_ *Status, f *Facts) { f.Failed = []string{"t"} }, "failed"},
	} {
		s, f := &Status{Running: true, Links: []Link{{Name: "a", MTU: 1500}}}, Facts{}
		row.wrong(s, &f)
		got := Alarms(s, f)
		switch {
		case row.want == "" && len(got) > 0, row.want != "" && (len(got) != 1 || got[0].Name != row.want):
			t.Errorf("%s: %v, want %q", row.name, got, row.want)
		}
	}
}
