package usage

import (
	"strings"
	"testing"
	"time"

	"ecluse/internal/config"
)

// monthly uses so many bytes in each month from first on, and so much in the present one as has passed of it.
func monthly(first Month, bytes int64, now time.Time) func(Month) Used {
	return func(m Month) Used {
		if m < first || m > MonthOf(now) {
			return Used{}
		}
		if m == MonthOf(now) {
			return Used{Bytes: int64(float64(bytes) * float64(now.Sub(m.Start())) / float64(m.End().Sub(m.Start())))}
		}
		return Used{Bytes: bytes}
	}
}

func TestAnEnvelopeSaysWhenItIsUsedUp(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	e := Envelope{Given: true, Bytes: 1000, Begins: 1, Warn: []config.Percent{0.5, 0.8}}
	first := mustMonth(t, "2025-01")
	s := e.Stand("cssf", now, first, monthly(first, 100, now))
	if s.Share != 0.6 || s.Warned != 0.5 || s.Full || s.Bound != "bytes" || s.From.String() != "2026-01" || s.Through.String() != "2026-12" {
		t.Errorf("%+v", s)
	}
	// 300 bytes in the 91 days of April to June: 400 more last 121 days.
	if want := now.Add(400 * 91 * 24 * time.Hour / 300); s.Exhausted == nil || s.Exhausted.Sub(want).Abs() > time.Minute {
		t.Errorf("nothing is left on %v, want %v", s.Exhausted, want)
	}
	if text := s.Alarm(); !strings.Contains(text, "60%") || !strings.Contains(text, "nothing is left on 2026-10-30") {
		t.Error(text)
	}
	e.Bytes = 1300
	if s = e.Stand("cssf", now, first, monthly(first, 100, now)); s.Exhausted != nil || s.YearEnd > 1 || s.YearEnd < 0.9 || s.Warned != 0 || s.Alarm() != "" {
		t.Errorf("it lasts the year, and %+v", s)
	}
}

// The rate goes by the months before, across a new year: what is used of the new one says nothing yet.
func TestANewYearBeginsEmptyAndKnowsTheRate(t *testing.T) {
	now := time.Date(2027, 1, 1, 0, 0, 1, 0, time.UTC)
	first := mustMonth(t, "2026-01")
	e := Envelope{Given: true, Bytes: 600, Begins: 1, Warn: []config.Percent{0.5}}
	s := e.Stand("cssf", now, first, monthly(first, 100, now))
	if s.Bytes != 0 || s.Share != 0 || s.From.String() != "2027-01" || s.Exhausted == nil || MonthOf(*s.Exhausted).String() != "2027-07" {
		t.Errorf("%+v, nothing left on %v", s, s.Exhausted)
	}
	// In its first month there is no other rate than that of its days.
	s = e.Stand("cssf", now.Add(9*24*time.Hour), MonthOf(now), monthly(MonthOf(now), 310, now.Add(9*24*time.Hour)))
	if s.Exhausted == nil || s.Exhausted.Month() != time.March {
		t.Errorf("310 bytes a month of 600 last until %v", s.Exhausted)
	}
}

// The month in which counting began was hardly whole: as soon as there is another, the rate is that one's.
func TestTheFirstMonthSaysNothingOfTheRate(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	e := Envelope{Given: true, Bytes: 4000, Begins: 1}
	use := func(m Month) Used {
		return map[string]Used{"2026-05": {Bytes: 100}, "2026-06": {Bytes: 900}}[m.String()]
	}
	s := e.Stand("t", now, mustMonth(t, "2026-05"), use) // since the 30th of May
	if want := now.Add(3000 * 30 * 24 * time.Hour / 900); s.Bytes != 1000 || s.Exhausted == nil || s.Exhausted.Sub(want).Abs() > time.Minute {
		t.Errorf("%+v, nothing is left on %v, want %v", s, s.Exhausted, want)
	}
}

func TestCostFillsAnEnvelopeToo(t *testing.T) {
	now := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
	e := Envelope{Given: true, Bytes: 1e6, Cost: 100_00, Begins: 2, Warn: []config.Percent{0.95}, Stop: true}
	use := func(m Month) Used {
		if m.String() == "2028-02" {
			return Used{Bytes: 10, Cost: 100_00}
		}
		return Used{}
	}
	s := e.Stand("t", now, mustMonth(t, "2028-02"), use)
	if !s.Full || s.Bound != "cost" || s.Exhausted == nil || !s.Exhausted.Equal(now) || s.From.String() != "2028-02" || s.Through.String() != "2029-01" {
		t.Errorf("%+v", s)
	}
	if err := s.Left(0, 1); err == nil || !strings.Contains(err.Error(), "100.00") {
		t.Errorf("a byte more: %v", err)
	}
	if text := s.Alarm(); !strings.Contains(text, "nothing more of it is taken") {
		t.Error(text)
	}
}

func TestWhatIsOnItsWayCounts(t *testing.T) {
	s := Standing{Bytes: 500, BytesMost: 1000}
	for _, row := range []struct {
		coming, bytes int64
		fits          bool
	}{{0, 500, true}, {0, 501, false}, {499, 1, true}, {500, 1, false}, {1 << 62, 1 << 62, false}} {
		if err := s.Left(row.coming, row.bytes); (err == nil) != row.fits {
			t.Errorf("%d beside %d: %v", row.bytes, row.coming, err)
		}
	}
}
