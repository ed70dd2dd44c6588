package usage

import (
	"testing"
	"time"
)

func TestAFloorOnlyRises(t *testing.T) {
	october, november := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	back := october.AddDate(0, 0, 9)
	var f Floor
	if at := f.Countable(back); !at.Equal(back) {
		t.Errorf("of no floor it is %v", at)
	}
	for _, at := range []time.Time{october, november, october} {
		f.Raise(at)
	}
	if at := f.Countable(back); !at.Equal(november) {
		t.Errorf("what is noted in a month that is closed counts at %v", at)
	}
}
