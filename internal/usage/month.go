package usage

import (
	"fmt"
	"time"
)

// Month is a month in UTC: months since the year 0.
type Month int

// The months that there are: a catalog counts nanoseconds since 1970, up to 2262.
var (
	firstMonth = month(1970, time.January)
	lastMonth  = month(2261, time.December)
)

func month(year int, m time.Month) Month { return Month(year*12 + int(m) - 1) }

// MonthOf is the month of a time, as near as there is one.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return min(max(month(t.Year(), t.Month()), firstMonth), lastMonth)
}

// ParseMonth reads 2026-11.
func ParseMonth(s string) (Month, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil || len(s) != len("2006-01") || MonthOf(t) != month(t.Year(), t.Month()) {
		return 0, fmt.Errorf("%q is no month: write it as 2026-11", s)
	}
	return MonthOf(t), nil
}

// ParseYear reads 2026, and gives its first month.
func ParseYear(s string) (Month, error) {
	m, err := ParseMonth(s + "-01")
	if err != nil {
		return 0, fmt.Errorf("%q is no year: write it as 2026", s)
	}
	return m, nil
}

// Start is its first moment.
func (m Month) Start() time.Time {
	return time.Date(int(m)/12, time.Month(int(m)%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// End is the first moment of the next.
func (m Month) End() time.Time { return (m + 1).Start() }

// Year is the first month of the latest year that begins with a month of this number (1 to 12) and holds m.
func (m Month) Year(begins int) Month { return m - Month((int(m)%12-(begins-1)+12)%12) }

func (m Month) String() string { return m.Start().Format("2006-01") }

// MarshalText gives 2026-11.
func (m Month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes what ParseMonth takes.
func (m *Month) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMonth(string(text))
	return err
}
