package usage

import (
	"testing"
	"time"
)

func TestMonthsFollowEachOtherInUTC(t *testing.T) {
	m, err := ParseMonth("1999-11")
	if err != nil {
		t.Fatal(err)
	}
	for range 30 * 12 {
		if !m.End().Equal((m + 1).Start()) || MonthOf(m.Start()) != m || MonthOf(m.End().Add(-1)) != m || MonthOf(m.End()) != m+1 {
			t.Fatalf("%v is from %v to %v", m, m.Start(), m.End())
		}
		if again, err := ParseMonth(m.String()); err != nil || again != m {
			t.Fatalf("%v reads as %v, %v", m, again, err)
		}
		m++
	}
	far := time.FixedZone("far", 14*60*60)
	if got := MonthOf(time.Date(2027, 1, 1, 3, 0, 0, 0, far)).String(); got != "2026-12" {
		t.Errorf("by a local clock it is %s", got)
	}
	for _, wrong := range []string{"", "2026", "2026-13", "2026-1", "26-01", "2026-00", "1969-12", "2262-01", "2026-01-01", "2026-01 "} {
		if m, err := ParseMonth(wrong); err == nil {
			t.Errorf("%q is %v", wrong, m)
		}
	}
	if d := mustMonth(t, "2028-02"); d.End().Sub(d.Start()) != 29*24*time.Hour {
		t.Error("a leap month has no 29 days")
	}
}

func mustMonth(t testing.TB, s string) Month {
	t.Helper()
	m, err := ParseMonth(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAYearBeginsWhereItIsSaid(t *testing.T) {
	for _, row := range []struct {
		month  string
		begins int
		want   string
	}{
		{"2026-01", 1, "2026-01"}, {"2026-12", 1, "2026-01"}, {"2026-03", 4, "2025-04"}, {"2026-04", 4, "2026-04"}, {"2027-01", 12, "2026-12"}, {"2026-12", 12, "2026-12"},
	} {
		if got := mustMonth(t, row.month).Year(row.begins); got.String() != row.want {
			t.Errorf("the year of %s that begins with month %d is %v, want %s", row.month, row.begins, got, row.want)
		}
	}
}
