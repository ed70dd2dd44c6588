package surface

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What has to be typed to begin a new life or to change a key is one command, which refuses what would do harm.
func TestALifeAndAKeyAreRenewed(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	card := filepath.Join(low.dir, "sender.pair")
	state := func(name string) string { return text(t, filepath.Join(low.dir, "state", name)) }
	field := func(key string) string {
		_, after, _ := strings.Cut(text(t, card), "\n"+key+" ")
		value, _, _ := strings.Cut(after, "\n")
		return value
	}
	epoch, ticket, key := field("epoch"), state("ticket.key"), field("key")
	low.ends(0, "fingerprint  SHA256:", "pair", "--show")
	high.ends(0, "receiver     high-1\n", "pair", "--show")
	low.ends(2, "", "pair", "--show", card)
	low.ends(2, "one of --epoch", "renew", "--epoch", "--key")

	d := low.start()
	low.ends(1, "another process is running", "renew", "--epoch")
	if field("epoch") != epoch || state("epoch") != epoch+"\n" {
		t.Error("a refused renewal changed the epoch")
	}
	d.stop()
	var made struct{ Card, Fingerprint string }
	low.value(&made, 0, "renew", "--epoch")
	if made.Card != card || field("epoch") == epoch || field("epoch")+"\n" != state("epoch") || state("ticket.key") == ticket || field("key") != key {
		t.Errorf("%+v: of epoch %s became\n%s", made, epoch, text(t, card))
	}
	low.ends(0, made.Fingerprint, "pair", "--show")
	epoch = field("epoch")

	low.ends(3, "renew --key", "renew", "--use-key")
	low.ends(0, "sender-next.pair", "renew", "--key")
	low.ends(2, "--use-key", "renew", "--key")
	if field("key") != key {
		t.Error("a key that nothing uses yet is in the card")
	}
	next := filepath.Join(low.dir, "sender-next.pair")
	high.ends(0, "", "pair", "--yes", card)
	high.ends(0, epoch, "pair", "--yes", next)
	low.ends(0, "next start on: stop it, then: ecluse-sender run --config", "renew", "--use-key")
	if field("key") == key || field("epoch") != epoch {
		t.Errorf("the card is\n%s", text(t, card))
	}
	for path, mode := range map[string]os.FileMode{"sender_ed25519": 0o600, "sender_ed25519.pub": 0o644, "sender.pair": 0o644, "state/ticket.key": 0o600} {
		if info, err := os.Stat(filepath.Join(low.dir, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	for _, gone := range []string{next, filepath.Join(low.dir, "sender_ed25519.next"), filepath.Join(low.dir, "sender_ed25519.next.pub")} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is left", gone)
		}
	}

	h := high.start()
	d = low.start()
	high.within(10*time.Second, "a heartbeat", func() bool { return strings.Contains(high.try("status").out, " ago") })
	h.stop()
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/lost.txt"), "lost"))
	h = high.start()
	high.within(10*time.Second, "what is missing", func() bool { return len(high.list("--state", "missing")) == 1 })
	d.stop()
	low.ends(0, "", "renew", "--epoch")
	high.ends(0, "1 bundles of low-1 were sent in other epochs and never came", "pair", "--yes", card)
	if rows := high.list("--state", "missing"); len(rows) > 0 {
		t.Errorf("of a replaced epoch are missing %s", rows)
	}
	high.ends(1, "stop the process", "renew", "--key")
	h.stop()
	high.value(&made, 0, "renew", "--key")
	high.ends(0, made.Fingerprint, "pair", "--show")
	low.ends(0, "", "pair", "--fingerprint", made.Fingerprint, filepath.Join(high.dir, "receiver.pair"))
	high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/after.txt"), "after"))
	high.reach("after.txt", "quarantined")
}
