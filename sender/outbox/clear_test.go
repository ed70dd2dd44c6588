package outbox

import (
	"os"
	"testing"
	"time"
)

func TestClearRemovesOneItemAndNothingElse(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	earlier, item, next := y.claimed("item", 1), y.claimed("item", 2), y.claimed("next", 3)
	must(t, y.Sent(earlier, 7, time.Now()))
	must(t, y.Clear(item, 7)) // it was not put away: what stands there is an earlier epoch's
	holds(t, y.house(sentName, "7", "item"), "content of item")
	must(t, y.Sent(item, 7, time.Now()))
	must(t, y.Sent(next, 8, time.Now()))
	must(t, y.Clear(Item{Name: "other", ID: next.ID}, 8)) // nor is this it
	must(t, os.MkdirAll(y.house(sentName, partial+"7", "left over"), 0o700))
	for range 2 {
		must(t, y.Clear(item, 7))
		if exists(y.house(sentName, "7")) || exists(y.house(sentName, partial+"7")) {
			t.Error("it is still there")
		}
		holds(t, y.house(sentName, "7~1", "item"), "content of item")
		holds(t, y.house(sentName, "8", "next"), "content of next")
	}
}
