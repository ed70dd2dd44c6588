package surface

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a link between both sides, of which the test decides what comes through.
type wire struct {
	drop  atomic.Bool  // everything
	from  atomic.Int64 // data packets from this one ...
	to    atomic.Int64 // ... up to this one are lost
	count atomic.Int64 // data packets since the last reset
	bytes atomic.Int64 // that came through
}

// dataPacket is the first byte of one: version 1, kind 2.
const dataPacket = 0x12

func (w *wire) carry(in, out *net.UDPConn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		if at := int64(0); n > 0 && buffer[0] == dataPacket {
			if at = w.count.Add(1); at >= w.from.Load() && at < w.to.Load() {
				continue
			}
		}
		if w.drop.Load() {
			continue
		}
		w.bytes.Add(int64(n))
		_, _ = out.Write(buffer[:n]) // nobody listens, now and then
	}
}

// wired lays out and pairs both sides with a wire between them. Its facts have little interleaved, so that a hole stays a hole; what is incomplete is damaged soon.
func wired(t *testing.T) (low, high *side, w *wire) {
	t.Helper()
	dir, w := t.TempDir(), &wire{}
	low, high = newSide(t, "sender", filepath.Join(dir, "low")), newSide(t, "receiver", filepath.Join(dir, "high"))
	in, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	_ = in.SetReadBuffer(4 << 20)
	listen := port(t)
	to, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	go w.carry(in, out)
	low.run("init", "--dir", low.dir, "--to", in.LocalAddr().String(), "--name", "low-1", "--rate", "200Mbit", "--loss", "0.1%", "--burst", "1ms").check(t, "init", 0, "sender.pair")
	high.run("init", "--dir", high.dir, "--listen", listen, "--name", "high-1").check(t, "init", 0, "receiver.pair")
	high.edit("links:\n", "idle: 2s\nlinks:\n")
	low.pair(high)
	return low, high, w
}

// lines are what a command printed on stdout.
func (r result) lines() []string { return strings.Split(strings.TrimSuffix(r.out, "\n"), "\n") }

// code runs ticket and gives the one code that it prints.
func (s *side) code(args ...string) string {
	s.t.Helper()
	r := s.try("ticket", args...)
	r.check(s.t, "ticket "+strings.Join(args, " "), 0, "")
	if lines := r.lines(); len(lines) != 1 || len(lines[0]) > 128 || strings.ToUpper(lines[0]) != lines[0] || !strings.Contains(lines[0], "-") {
		s.t.Fatalf("ticket %v prints %q", args, r.out)
	}
	return strings.TrimSpace(r.out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hears waits for a heartbeat of a sender: it brings the ticket key, which is kept a moment later.
func (s *side) hears(sender string) {
	s.t.Helper()
	s.within(5*time.Second, "the ticket key", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "state/tickets/keys", sender+".json"))
		return err == nil
	})
}

// plain is how a tired person types a code.
func plain(code string) string { return strings.ToLower(strings.ReplaceAll(code, "-", "")) }

// noise writes a file that does not compress.
func noise(t *testing.T, path string, size int) string {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	return write(t, path, string(content))
}

// number reads a number of a row.
func (r row) number(key string) (n int64) {
	_ = json.Unmarshal(r[key], &n)
	return n
}

func TestATicketBringsExactlyWhatIsMissing(t *testing.T) {
	low, high, w := wired(t)
	receiver := high.start()
	low.start()
	const size = 48 << 20
	w.from.Store(12_000)
	w.to.Store(16_000) // about 5 of 48 MiB
	low.ends(0, "", "send", "--wait", noise(t, filepath.Join(low.dir, "work/big.bin"), size))
	w.to.Store(0)
	r := high.reach("big.bin", "damaged")
	code := high.code(r.text("bundle"))
	if again := high.code(r.text("bundle")[:8]); again != code {
		t.Errorf("of one state there are two codes: %s, %s", code, again)
	}
	before, sent := w.bytes.Load(), low.find("big.bin").number("sent_bytes")
	low.ends(0, " chunks)", "resend", "--ticket", plain(code))
	high.reach("big.bin", "quarantined")
	if again := w.bytes.Load() - before; again > size/2 || again < 1<<20 {
		t.Errorf("%d bytes came again, of %d", again, size)
	}
	if more := low.reach("big.bin", "sent").number("sent_bytes") - sent; more > size/2 || more < 1<<20 {
		t.Errorf("%d bytes of content were sent again, of %d", more, size)
	}
	high.ends(0, "", "verify", r.text("bundle"))
	high.ends(4, "quarantined", "ticket", r.text("bundle"))
	if said := receiver.said(); !strings.Contains(said, "ticket issued") || !strings.Contains(said, r.text("bundle")) || strings.Contains(said, code) {
		t.Error("the log does not say what was issued, or holds the code")
	}
}

func TestATicketBringsWhatNeverCame(t *testing.T) {
	low, high := paired(t)
	low.start()
	for _, name := range []string{"one", "two", "three"} {
		low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work", name), name))
	}
	high.start()
	high.within(10*time.Second, "three rows of what never came", func() bool { return len(high.list("--state", "missing")) == 3 })
	low.ends(0, "", "resend", "--ticket", high.code("default/2"))
	high.reach("two", "quarantined")
	code := high.code("--all")
	if drawn := high.try("ticket", "--all", "--qr"); drawn.code != 0 || drawn.lines()[0] != code || len(drawn.lines()) < 15 || !strings.Contains(drawn.out, "█") {
		t.Errorf("drawn as well it is %+v", drawn)
	}
	type shown struct {
		Code    string
		QR      []string
		Sender  string
		Tenant  string
		Missing []struct {
			Sequence, Count int
			Bundle          *string
		}
	}
	var all []shown
	high.value(&all, 0, "ticket", "--all")
	if len(all) != 1 || all[0].Code != code || len(all[0].QR) < 15 || all[0].Sender != "low-1" || all[0].Tenant != "default" ||
		len(all[0].Missing) != 2 || all[0].Missing[1].Sequence != 3 {
		t.Errorf("%d codes, %s %s: %+v", len(all), all[0].Code, code, all[0].Missing)
	}
	low.ends(0, "", "resend", "--ticket", code)
	high.reach("one", "quarantined")
	high.reach("three", "quarantined")
	high.within(5*time.Second, "nothing to be missing", func() bool { return len(high.list("--state", "missing")) == 0 })
	high.ends(0, "nothing is missing", "ticket", "--all")
}

// The state that no daemon holds gives the same tickets, and takes them.
func TestTicketsAreIssuedAndTakenWhileNoDaemonRuns(t *testing.T) {
	low, high, w := wired(t)
	receiver := high.start()
	sender := low.start()
	w.from.Store(3_000)
	w.to.Store(8_000)
	low.ends(0, "", "send", "--wait", noise(t, filepath.Join(low.dir, "work/big.bin"), 24<<20))
	w.to.Store(0)
	r := high.reach("big.bin", "damaged")
	code := high.code(r.text("bundle"))
	high.hears("low-1")
	receiver.stop()
	if rest := high.code(r.text("bundle")); rest != code {
		t.Errorf("at rest it is another code: %s, %s", code, rest)
	}
	if rest := high.code("--all"); rest != code {
		t.Errorf("of all that is missing it is another code: %s, %s", code, rest)
	}
	sender.stop()
	low.ends(0, " chunks)", "resend", "--ticket", code)
	high.start()
	before := w.bytes.Load()
	low.start()
	high.reach("big.bin", "quarantined")
	if again := w.bytes.Load() - before; again > 18<<20 {
		t.Errorf("%d bytes came again", again)
	}
}

func TestAReceiptClearsExactlyWhatIsSafe(t *testing.T) {
	low, high, w := wired(t)
	high.start()
	sender := low.start()
	kept := func() []string { return below(t, filepath.Join(low.dir, "outbox/default/.ecluse/sent")) }
	send := func(name string) {
		low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work", name), name))
	}
	high.ends(3, "nothing is safe", "ticket", "--receipt")
	send("one")
	high.reach("one", "quarantined")
	old := high.code("--receipt")
	w.drop.Store(true)
	send("two")
	low.within(5*time.Second, "the item to be put away", func() bool { return len(kept()) >= 4 })
	time.Sleep(1200 * time.Millisecond) // no close of it is repeated after that in which the third is sent
	w.drop.Store(false)
	send("three")
	high.reach("three", "quarantined")
	high.ends(0, "", "reject", high.find("three").text("bundle")) // by a person: it is safe
	code := high.code("--receipt", "--sender", "low-1", "--tenant", "default")
	high.ends(3, "", "ticket", "--receipt", "--sender", "low-2")
	high.ends(3, "", "ticket", "--receipt", "--tenant", "nobody")
	var a struct {
		Kind    string
		Bundles []struct {
			Name, State string
			Sequence    int
		}
	}
	low.value(&a, 0, "resend", "--ticket", plain(code))
	if a.Kind != "receipt" || len(a.Bundles) != 2 || a.Bundles[0].Name != "one" || a.Bundles[1].Name != "three" || a.Bundles[1].State != "confirmed" || a.Bundles[1].Sequence != 3 {
		t.Errorf("%+v", a)
	}
	for name, state := range map[string]string{"one": "confirmed", "two": "sent", "three": "confirmed"} {
		if r := low.find(name); r.text("state") != state {
			t.Errorf("%s is %s", name, r)
		}
	}
	if have := kept(); len(have) != 2 || have[1] != "2/two" && have[0] != "2/two" {
		t.Errorf("sent/ holds %q", have)
	}
	low.ends(0, "", "resend", "--ticket", code) // again, and an older one: they do nothing
	low.ends(0, "0 bundles", "resend", "--ticket", old)
	low.ends(3, "", "resend", low.find("one").text("bundle"))
	if low.find("two").text("state") != "sent" || len(low.list("--state", "confirmed")) != 2 {
		t.Errorf("%s", low.list())
	}
	high.within(5*time.Second, "a row of what never came", func() bool { return len(high.list("--state", "missing")) == 1 })
	low.ends(0, "", "resend", "--ticket", high.code("--all"))
	high.reach("two", "quarantined")
	low.reach("two", "sent")
	next := high.code("--receipt")
	sender.stop()
	low.ends(0, "", "resend", "--ticket", next) // with no daemon running: its start clears
	low.start()
	low.within(5*time.Second, "sent/ to be empty", func() bool { return len(kept()) == 0 })
	if len(low.list("--state", "confirmed")) != 3 {
		t.Errorf("%s", low.list())
	}
}

func TestACodeThatIsNotThisSendersIsRefused(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	low.start()
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/lost"), "lost"))
	high.start()
	high.within(10*time.Second, "a row of what never came", func() bool { return len(high.list("--state", "missing")) == 1 })
	code := high.code("default/1")
	groups := strings.Split(code, "-")
	wrong := "2"
	if groups[3][2] == '2' {
		wrong = "3"
	}
	groups[3] = groups[3][:2] + wrong + groups[3][3:]
	low.ends(2, "group 4", "resend", "--ticket", strings.Join(groups, "-"))
	low.ends(2, "group 4", "resend", "--ticket", plain(strings.Join(groups, "-")))
	groups = strings.Split(code, "-")
	groups[1], groups[4] = groups[4], groups[1]
	low.ends(2, "groups 2 (", "resend", "--ticket", strings.Join(groups, "-"))
	low.ends(2, "one of the two", "resend")
	low.ends(2, "one of the two", "resend", "--ticket", code, low.find("lost").text("bundle"))
	high.ends(2, "one of the three", "ticket")
	high.ends(2, "one of the three", "ticket", "--all", "default/1")
	high.ends(2, "are for --receipt", "ticket", "--all", "--tenant", "default")
	high.ends(3, "", "ticket", "abcdefgh")
	high.ends(3, "", "ticket", "default/9")
	high.ends(3, "", "ticket", "default/9", "default/1") // each has its line, and the worst counts

	other := newSide(t, "sender", filepath.Join(t.TempDir(), "other"))
	other.run("init", "--dir", other.dir, "--to", port(t), "--name", "low-2").check(t, "init", 0, "")
	other.ends(4, "ticket-epoch", "resend", "--ticket", code)

	// The item is gone, by hand: nothing of it can be sent.
	sent := filepath.Join(low.dir, "outbox/default/.ecluse/sent/1")
	if err := os.Rename(sent, filepath.Join(low.dir, "away")); err != nil {
		t.Fatal(err)
	}
	low.ends(3, "no longer here", "resend", "--ticket", code)
	if err := os.Rename(filepath.Join(low.dir, "away"), sent); err != nil {
		t.Fatal(err)
	}
	low.ends(0, "lost", "resend", "--ticket", code)
	high.reach("lost", "quarantined")
}

func TestWhatIsOfAFormerEpochIsRefusedByName(t *testing.T) {
	low, high := paired(t)
	high.start()
	sender := low.start()
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/one"), "one"))
	high.reach("one", "quarantined")
	high.hears("low-1")
	code := high.code("--receipt")
	sender.stop()
	former := strings.TrimSpace(read(t, filepath.Join(low.dir, "state/epoch")))
	anew := newSide(t, "sender", filepath.Join(t.TempDir(), "anew"))
	anew.run("init", "--dir", anew.dir, "--to", port(t), "--name", "low-1").check(t, "init", 0, "")
	for _, name := range []string{"epoch", "ticket.key"} {
		write(t, filepath.Join(low.dir, "state", name), read(t, filepath.Join(anew.dir, "state", name)))
	}
	one := low.find("one").text("bundle")
	low.ends(4, former, "resend", "--ticket", code)
	low.ends(4, "former epoch", "resend", one)
	low.start()
	low.ends(4, former, "resend", "--ticket", code)
	low.ends(4, "former epoch", "resend", one)
	if r := low.find("one"); r.text("state") != "sent" || len(below(t, filepath.Join(low.dir, "outbox/default/.ecluse/sent"))) == 0 {
		t.Errorf("%s", r)
	}
}

func TestADaysCodesAreBounded(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	high.edit("links:\n", "tickets:\n  per_day: 2\nlinks:\n")
	low.start()
	for n := range 3 {
		low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work", fmt.Sprint("item", n)), "x"))
	}
	receiver := high.start()
	high.within(10*time.Second, "three rows of what never came", func() bool { return len(high.list("--state", "missing")) == 3 })
	one := high.code("default/1")
	high.code("default/2")
	high.ends(4, "ticket-budget", "ticket", "default/3")
	high.ends(4, "ticket-budget", "ticket", "--all")
	if again := high.code("default/1"); again != one {
		t.Errorf("what was issued today is another code: %s, %s", one, again)
	}
	receiver.stop()
	high.ends(4, "ticket-budget", "ticket", "default/3") // at rest too
	high.start()
	high.ends(4, "per_day", "ticket", "default/3")
	info, err := os.Stat(filepath.Join(high.dir, "state/tickets/keys/low-1.json"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
}
