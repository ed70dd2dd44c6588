package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An item that is not let in is as it was, where it was, with the reason beside it; it is asked for again, by the size of its whole tree, and the reason goes when it is taken.
func TestAnItemThatIsNotAdmittedStaysWithTheReasonBesideIt(t *testing.T) {
	most := int64(2999)
	o := Options{Admit: func(bytes int64) error {
		if bytes > most {
			return &HeldError{fmt.Errorf("%d bytes are more than %d", bytes, most)}
		}
		return nil
	}}
	y := build(t, o)
	tree := filepath.Join(y.beside, "tree")
	must(t, os.MkdirAll(filepath.Join(tree, "a", "b"), 0o755))
	for _, name := range []string{"x", "a/y", "a/b/z"} {
		must(t, os.WriteFile(filepath.Join(tree, name), make([]byte, 1000), 0o644))
	}
	must(t, os.Rename(tree, y.path("tree")))
	y.watch()
	c := y.next()
	_, err := y.Claim(c, id(1))
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatal("claimed: ", err)
	}
	reason, err := os.ReadFile(y.path(reasonName("tree")))
	if err != nil || !strings.Contains(string(reason), "3000 bytes are more than 2999") || !strings.Contains(string(reason), "Nothing has to be done with it") {
		t.Errorf("%s, %v", reason, err)
	}
	if !exists(y.path("tree/a/b/z")) {
		t.Fatal("it is gone")
	}
	// A caller with its own word for an item being whole has not looked at it.
	if _, err := y.Claim(Candidate{Name: "tree"}, id(2)); !errors.As(err, &held) || !strings.Contains(err.Error(), "3000") {
		t.Errorf("claimed by its name: %v", err)
	}
	// One that is being sent has no name yet that anybody knows but whoever sends it.
	hidden, err := Stage(t.Context(), y.o.Disk, y.path("tree"), y.o.Dir)
	must(t, err)
	if _, err := y.Claim(Candidate{Name: filepath.Base(hidden), As: "sent"}, id(4)); !errors.As(err, &held) || !strings.Contains(err.Error(), `claim "sent": 3000`) {
		t.Errorf("what is sent: %v", err)
	}
	absent(t, y.path(reasonName(filepath.Base(hidden))))
	must(t, os.RemoveAll(hidden))
	most = 3000
	item, err := y.Claim(c, id(3))
	if err != nil || item.Bytes != 3000 {
		t.Errorf("%+v, %v", item, err)
	}
	absent(t, y.path(reasonName("tree")))
}
