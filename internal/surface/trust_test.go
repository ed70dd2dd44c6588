package surface

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAStrangersSessionIsCountedAndPairingTakesItUpAtOnce(t *testing.T) {
	low, high := sides(t)
	low.ends(0, "", "pair", "--yes", filepath.Join(high.dir, "receiver.pair"))
	high.start()
	d := low.start()
	sessions := func() (rows []map[string]any) {
		t.Helper()
		var status struct{ Sessions []map[string]any }
		if err := json.Unmarshal([]byte(high.try("status", "--json").out), &status); err != nil {
			t.Fatal(err)
		}
		return status.Sessions
	}
	var rows []map[string]any
	high.within(10*time.Second, "a refused session", func() bool { rows = sessions(); return len(rows) == 1 })
	if r := rows[0]; r["state"] != "refused" || r["reason"] == nil || r["count"].(float64) < 1 ||
		!slices.Equal(slices.Sorted(maps.Keys(r)), strings.Fields("count reason sender session state")) {
		t.Errorf("the session of a stranger is %v", r)
	}
	if rows := high.list(); len(rows) > 0 {
		t.Errorf("a stranger has rows: %s", rows)
	}
	high.ends(0, "is paired", "pair", "--yes", filepath.Join(low.dir, "sender.pair"))
	high.within(10*time.Second, "an open session", func() bool {
		return slices.ContainsFunc(sessions(), func(r map[string]any) bool { return r["state"] == "open" && r["sender"] == "low-1" })
	})
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/hello.txt"), "hello"))
	high.reach("hello.txt", "quarantined")

	if r := low.ends(0, "former card: stop it, then", "pair", "--yes", filepath.Join(high.dir, "receiver.pair")); r.out != "" {
		t.Errorf("pair talks on stdout: %q", r.out)
	}
	d.stop()
}

func TestStockToolsCheckWhatIsInQuarantine(t *testing.T) {
	for _, tool := range []string{"ssh-keygen", "jq", "sha256sum", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, fmt.Sprint("THE STOCK TOOLS ARE NOT ASKED: ", err))
		}
	}
	low, high := paired(t)
	high.start()
	low.start()
	tree := filepath.Join(low.dir, "work/it's a tree")
	write(t, filepath.Join(tree, "a file"), "one")
	write(t, filepath.Join(tree, `deep/back\slash`), "two")
	low.ends(0, "", "send", "--wait", tree)
	id := high.reach("it's a tree", "quarantined").text("bundle")
	check := func() (string, error) {
		_, commands, ok := strings.Cut(high.ends(0, "Checked with stock tools", "show", id).out, "Checked with stock tools")
		_, commands, ok2 := strings.Cut(commands, "\n")
		if !ok || !ok2 {
			t.Fatal("show prints no commands")
		}
		c := exec.Command("sh", "-e")
		c.Stdin = strings.NewReader(commands)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err != nil || !strings.Contains(out, "Good \"bundle@ecluse\" signature for low-1") {
		t.Errorf("%v:\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(high.dir, "state/quarantine/default", id, "files/it's a tree/a file"), []byte("ONE"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := check(); err == nil {
		t.Errorf("they take what is not what was signed:\n%s", out)
	}
}

func TestATransferSurvivesTheEndOfBothDaemons(t *testing.T) {
	low, high := paired(t)
	low.edit("rate: 900Mbit", "rate: 20Mbit")
	content := make([]byte, 4<<20)
	for i, random := 0, rand.NewChaCha8([32]byte{7}); i < len(content); i += 8 {
		n := random.Uint64()
		for j := range 8 {
			content[i+j] = byte(n >> (8 * j))
		}
	}
	write(t, filepath.Join(low.dir, "work/large.bin"), string(content))
	down, up := high.start(), low.start()
	low.ends(0, "", "send", filepath.Join(low.dir, "work/large.bin"))
	high.within(10*time.Second, "the first of it", func() bool { r := high.find("large.bin"); return r != nil && r.text("state") == "receiving" })
	up.stop()
	if r := low.find("large.bin"); r.text("state") == "sent" {
		t.Fatal("it was out before its daemon ended: the test is too slow for what it claims")
	}
	down.stop()
	if have, err := os.ReadDir(filepath.Join(high.dir, "import/default")); err != nil || len(have) > 0 {
		t.Errorf("half of it is shown: %v, %v", err, have)
	}
	high.start()
	low.start()
	id := high.reach("large.bin", "quarantined").text("bundle")
	low.reach("large.bin", "sent")
	high.ends(0, "", "approve", id)
	high.reach("large.bin", "imported")
	if got, err := os.ReadFile(filepath.Join(high.dir, "import/default/large.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%v, %d bytes", err, len(got))
	}
}
