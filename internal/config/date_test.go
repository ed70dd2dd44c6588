package config

import (
	"testing"
	"time"
)

func TestADayIsReadAndWrittenInOneForm(t *testing.T) {
	d, err := ParseDate("2028-02-29")
	if err != nil || d.String() != "2028-02-29" || !d.End().Equal(time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, ends %v, %v", d, d.End(), err)
	}
	for _, bad := range []string{"", "2027-2-3", "2027-02-30", "31.12.2027", "2027-12-31T00:00:00Z", "0000-01-01", "tomorrow", " 2027-12-31"} {
		if d, err := ParseDate(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, d)
		}
	}
	if s := (Date{}).String(); s != "" {
		t.Errorf("no day is %q", s)
	}
}
