package keys

import (
	"fmt"
	"strings"
	"time"
)

// parseInstant reads the times of allowed_signers, YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in UTC with a Z or UTC behind them and else in
// local time. It takes no date that the calendar does not have, where ssh-keygen counts on.
func parseInstant(s string, local *time.Location) (int64, error) {
	digits, zone := s, local
	for _, suffix := range []string{"Z", "UTC"} {
		if n := len(s) - len(suffix); n > 0 && strings.EqualFold(s[n:], suffix) {
			digits, zone = s[:n], time.UTC
			break
		}
	}
	layout, ok := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	if !ok || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("the time %s is not YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with or without a Z", printable(s))
	}
	reading, err := time.Parse(layout, digits)
	if err != nil {
		return 0, fmt.Errorf("there is no time %s", printable(s))
	}
	seconds := reading.Unix() - standardOffset(reading, zone)
	if seconds <= 0 {
		return 0, fmt.Errorf("the time %s is not after 1970", printable(s))
	}
	return seconds, nil
}

// standardOffset gives the seconds that a clock in a zone is ahead of UTC when it shows a reading and knows no summer time: that is how
// ssh-keygen reads local times, all year.
func standardOffset(reading time.Time, zone *time.Location) int64 {
	y, mon, d := reading.Date()
	h, m, s := reading.Clock()
	t := time.Date(y, mon, d, h, m, s, 0, zone)
	if t.IsDST() {
		if start, _ := t.ZoneBounds(); !start.IsZero() {
			t = start.Add(-time.Second)
		}
	}
	_, offset := t.Zone()
	return int64(offset)
}
