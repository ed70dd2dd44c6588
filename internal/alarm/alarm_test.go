package alarm

import "testing"

func TestAnAlarmBeginsAndEndsOnceWhateverItCounts(t *testing.T) {
	var before, now List
	before.Add("silence", "a", "link a: no heartbeat for 11s")
	before.Add("disk", "", "12.5 GiB are free, below the 12.6 GiB kept back: nothing is admitted")
	before.Add("missing", "", "1 bundles")
	now.Add("silence", "a", "link a: no heartbeat for 12s")
	now.Add("silence", "b", "link b: no heartbeat for 12s")
	now.Add("disk", "", "12.4 GiB are free, below the 12.6 GiB kept back: nothing is admitted")
	began, ended := Changes(before, now)
	if len(began) != 1 || began[0] != now[1] || len(ended) != 1 || ended[0] != before[2] {
		t.Errorf("began %v, ended %v", began, ended)
	}
}
