package alarm

import "testing"

func TestAMinuteForgetsWhatIsOlder(t *testing.T) {
	var m Minute
	count := uint64(0)
	for second := range 300 {
		count += uint64(second % 7)
		if second == 10 {
			count += 1000
		}
		m.Note(count)
		if got := m.Since(count); second >= 10 && second < 10+59 && got < 1000 || second >= 10+59 && got > 60*6 {
			t.Errorf("in second %d the last minute has %d", second, got)
		}
	}
	if got := m.Since(0); got != 0 {
		t.Errorf("a count that shrank has grown by %d", got)
	}
	if got := m.Since(count + 5); got < 5 {
		t.Errorf("what has come since the last second is not in it: %d", got)
	}
}
