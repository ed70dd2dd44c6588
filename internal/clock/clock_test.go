package clock

import (
	"io/fs"
	"testing"
	"time"
)

// shelf is a disk in memory.
type shelf map[string][]byte

func (s shelf) ReadFile(path string, _ int64) ([]byte, error) {
	if b, ok := s[path]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (s shelf) Replace(path string, b []byte) error { s[path] = b; return nil }

func TestTheClockNeverRunsBack(t *testing.T) {
	files := shelf{}
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	wall := day
	c, err := Open(files, "clock", func() time.Time { return wall })
	if err != nil {
		t.Fatal(err)
	}
	wall = day.Add(time.Hour)
	if got := c.Now(); !got.Equal(wall) {
		t.Errorf("it says %v at %v", got, wall)
	}
	wall = day.Add(-10 * 365 * 24 * time.Hour)
	if got := c.Now(); got.Before(day.Add(time.Hour)) {
		t.Errorf("set back, it says %v", got)
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(files, "clock", func() time.Time { return wall })
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Now(); got.Before(day.Add(time.Hour)) {
		t.Errorf("after a restart it says %v", got)
	}
	if again.Ahead() < 9*365*24*time.Hour {
		t.Errorf("it does not know that it is ahead: %v", again.Ahead())
	}
	wall = wall.Add(time.Minute)
	if got := again.Now(); !got.Equal(day.Add(time.Hour + 30*time.Second)) {
		t.Errorf("ahead of the machine it does not go at half its speed: %v", got)
	}
}

// A clock that was set ahead and right again goes on, in the process that saw it as well, and is right again in the end.
func TestAClockThatWasSetAheadGoesOnAndIsCaughtUpWith(t *testing.T) {
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	wall := day
	c, err := Open(shelf{}, "clock", func() time.Time { return wall })
	if err != nil {
		t.Fatal(err)
	}
	wall = day.Add(time.Hour)
	c.Now()
	wall = day
	before := c.Now()
	for range 3 * 60 {
		wall = wall.Add(time.Minute)
		now := c.Now()
		if !now.After(before) || now.Before(wall) {
			t.Fatalf("at %v it says %v, and %v before", wall, now, before)
		}
		before = now
	}
	if !before.Equal(wall) || c.Ahead() != 0 {
		t.Errorf("three hours later it says %v at %v", before, wall)
	}
}

func TestAClockThatCannotBeReadIsAnError(t *testing.T) {
	if _, err := Open(shelf{"clock": []byte("soon")}, "clock", time.Now); err == nil {
		t.Error("it was taken")
	}
}

// The file of the clock is one of those that may not be taken for another.
func TestADamagedClockIsNeverAnEarlierOne(t *testing.T) {
	files := shelf{}
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c, err := Open(files, "clock", func() time.Time { return day })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	whole := files["clock"]
	try := func(how string, i int, b []byte) {
		t.Helper()
		again, err := Open(shelf{"clock": b}, "clock", func() time.Time { return day.AddDate(-5, 0, 0) })
		if err == nil && again.Now().Before(day) {
			t.Errorf("%s %d: it says %v", how, i, again.Now())
		}
	}
	for i := range whole {
		for bit := range 8 {
			b := append([]byte(nil), whole...)
			b[i] ^= 1 << bit
			try("changed in byte", i, b)
		}
		try("cut to", i, whole[:i])
	}
}

// A clock that jumps makes nothing old.
func TestNothingIsOldBecauseAClockJumped(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		wall, want time.Time
	}{
		"a clock that goes right": {start.Add(time.Hour), start.Add(time.Hour)},
		"set ahead":               {start.AddDate(10, 0, 0), start.Add(time.Hour)},
		"set back":                {start.AddDate(-10, 0, 0), start.AddDate(-10, 0, 0)},
	} {
		if got := Aged(start, time.Hour, c.wall); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAStateAtRestHasItsOwnTime(t *testing.T) {
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	wall := day
	files := shelf{}
	c, err := Open(files, "clock", func() time.Time { return wall })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	wall = day.AddDate(-1, 0, 0)
	if got := AtRest(files, "clock", func() time.Time { return wall })(); got.Before(day) {
		t.Errorf("set back, it says %v", got)
	}
	files["clock"] = []byte("noon")
	if got := AtRest(files, "clock", func() time.Time { return wall })(); !got.Equal(wall) {
		t.Errorf("damaged, it says %v at %v", got, wall)
	}
}
