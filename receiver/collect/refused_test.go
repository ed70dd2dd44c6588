package collect

import (
	"fmt"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// No row for a number that anybody can make up, and a bounded number of rows for keys that anybody can make up.
func TestRefusedSessionsAreFolded(t *testing.T) {
	var table refusedTable
	now := time.Unix(1e9, 0)
	reports := 0
	const flood = 10 * strangersKept
	for i := range uint64(flood) {
		for _, name := range []string{"low", fmt.Sprintf("SHA256:%d", i), ""} {
			if _, report := table.add(now, name, i, bundle.ReasonSessionSignature, 1); report {
				reports++
			}
		}
		now = now.Add(time.Millisecond)
	}
	if len(table.entries) != strangersKept+2 || reports != 1 {
		t.Errorf("%d entries, %d reports", len(table.entries), reports)
	}
	total := uint64(0)
	for _, r := range table.all() {
		if total += r.Count; r.Sender == "low" && (r.Count != flood || r.Session != flood-1) {
			t.Errorf("the sender's row is %+v", r)
		}
	}
	if total != 3*flood {
		t.Errorf("%d counted of %d", total, 3*flood)
	}
	if table.add(now, "other", 5, bundle.ReasonSessionSignature, 1); len(table.entries) != strangersKept+3 {
		t.Error("strangers keep an enrolled sender out of the table")
	}
	if table.add(now, "low", 0, bundle.ReasonSessionSignature, 1); table.entries[refusedKey{"low", bundle.ReasonSessionSignature}].Session != flood-1 {
		t.Error("a number that is not known took the place of one that is")
	}
	now = now.Add(refusedFor)
	r, report := table.add(now, "SHA256:new", 5, bundle.ReasonSessionSenderUnknown, 1)
	if !report || r.Sender != "SHA256:new" || r.Session != 5 || r.Count != 1 || len(table.entries) != strangersKept+3 {
		t.Errorf("after the flood: %+v, %v, %d entries", r, report, len(table.entries))
	}
}

func TestARefusalIsReportedOnceAMinuteAndReason(t *testing.T) {
	var table refusedTable
	start := time.Unix(1e9, 0)
	for _, c := range []struct {
		after  time.Duration
		reason bundle.Reason
		report bool
	}{
		{0, bundle.ReasonSessionNumberOld, true},
		{time.Second, bundle.ReasonSessionNumberOld, false},
		{2 * time.Second, bundle.ReasonSessionConflict, true},
		{59 * time.Second, bundle.ReasonSessionNumberOld, false},
		{60 * time.Second, bundle.ReasonSessionNumberOld, true},
		{61 * time.Second, bundle.ReasonSessionConflict, false},
	} {
		if _, report := table.add(start.Add(c.after), "low", 1, c.reason, 1); report != c.report {
			t.Errorf("%s after %s: report is %v", c.reason, c.after, report)
		}
	}
}

func TestSessionsAreKeptByRank(t *testing.T) {
	var table sessionTable
	s := func(rank uint64) *Session { x := testSession("low", rank, 1); x.body = []byte{byte(rank)}; return x }
	for _, step := range []struct {
		rank   uint64
		closed uint64
		reason bundle.Reason
		open   []uint64
	}{
		{rank: 5, open: []uint64{5}},
		{rank: 3, open: []uint64{3, 5}},
		{rank: 2, open: []uint64{3, 5}, reason: bundle.ReasonSessionNumberOld},
		{rank: 4, open: []uint64{4, 5}, closed: 3},
		{rank: 9, open: []uint64{5, 9}, closed: 4},
		{rank: 9, open: []uint64{5, 9}, closed: 9},
		{rank: 4, open: []uint64{5, 9}, reason: bundle.ReasonSessionNumberOld},
	} {
		closed, err := table.admit(s(step.rank))
		reason, _ := bundle.ReasonOf(err)
		got := uint64(0)
		if closed != nil {
			got = closed.Rank
		}
		var open []uint64
		for _, s := range table.all() {
			open = append(open, s.Rank)
		}
		if got != step.closed || reason != step.reason || len(open) != len(step.open) || open[0] != step.open[0] || open[len(open)-1] != step.open[len(open)-1] {
			t.Errorf("rank %d: closed %d, reason %q, open %v; want %+v", step.rank, got, reason, open, step)
		}
	}
	if !table.holds([]byte{9}) || table.holds([]byte{4}) {
		t.Error("the announcements held are not those of the open sessions")
	}
}
