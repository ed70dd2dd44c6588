package surface

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is done to one directory would be done to the other.
func TestDirectoriesThatContainEachOtherAreRefused(t *testing.T) {
	low, high := paired(t)
	whole, err := os.ReadFile(low.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, outbox := range map[string]string{"the parent of another": "outbox", "within another": "outbox/default/sub", "the state": "state", "above all": "."} {
		write(t, low.config, strings.Replace(string(whole), "\ntenants:\n", "\ntenants:\n  - name: b\n    outbox: "+filepath.Join(low.dir, outbox)+"\n", 1))
		low.ends(2, "outbox", "run")
		low.ends(2, "outbox", "plan")
		if t.Failed() {
			t.Fatalf("an outbox that is %s", name)
		}
	}
	high.edit(filepath.Join(high.dir, "import", "default"), filepath.Join(high.dir, "state", "quarantine", "default"))
	high.ends(2, "tenants[0].deliver[0].directory", "run")
}

func TestArgumentsThatNameNothingAreRefused(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	low.ends(2, "empty path", "send", "")
	low.run("init", "--dir", "", "--to", "127.0.0.1:1").check(t, "init", 2, "--dir is empty")
	high.run("init", "--dir", "", "--listen", "127.0.0.1:1").check(t, "init", 2, "--dir is empty")
	low.ends(4, "copied into itself", "send", low.dir)
	low.ends(4, "copied into itself", "send", filepath.Join(low.dir, "outbox", "default"))
	bad := write(t, filepath.Join(low.dir, "\xff\xfe"), "x")
	low.ends(4, "UTF-8", "send", bad)
	for _, text := range []string{"/37", "low-1//37", "default/0", "low-1/default/0", "/"} {
		high.ends(3, "", "ticket", text)
	}
	high.ends(2, "--fingerprint is empty", "pair", "--yes", "--fingerprint", "", filepath.Join(low.dir, "sender.pair"))
	for _, s := range []*side{low, high} {
		s.ends(2, "--watch", "status", "--watch", "--json")
	}
	high.ends(0, "", "list", "--since", "9999-12-31T23:59:59Z")
}

// An outbox whose places were removed, or that is another directory than at the start, takes items again, or says why not.
func TestAnOutboxThatIsMadeAnewIsUsedAgain(t *testing.T) {
	t.Parallel()
	low, _ := paired(t)
	low.edit("settle: 2s", "settle: 500ms\nrescan: 1s")
	low.start()
	outbox := filepath.Join(low.dir, "outbox", "default")
	_ = os.RemoveAll(filepath.Join(outbox, ".ecluse")) // the daemon may be making it again already
	write(t, filepath.Join(outbox, "one"), "1")
	low.reach("one", "sent")
	for os.RemoveAll(outbox) != nil { // the same
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(1500 * time.Millisecond)
	write(t, filepath.Join(outbox, "two"), "2")
	low.within(10*time.Second, "the item to be sent, or an alarm to say why not", func() bool {
		if r := low.find("two"); r != nil && r.text("state") == "sent" {
			return true
		}
		s := low.try("status")
		return s.code == 1 && strings.Contains(s.out, "ALARM outbox") && strings.Contains(s.out, "restart")
	})
}
