package surface

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/journal"
)

// kill ends the daemon as a crash does.
func (d *daemon) kill() {
	d.side.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGKILL)
	<-d.ended
	d.cmd = nil
}

// The low side holds the same rules: an operator hears "no" before anything is copied, and what is dropped all the same is put away with the findings, of which the high side never hears.
func TestTheLowSideHoldsTheSamePolicy(t *testing.T) {
	low, high := paired(t)
	const rules = "\n    policy:\n      names: {deny: [\"*.exe\"]}\n      text: [\"top secret\"]"
	low.edit("    weight: 1", "    weight: 1"+rules)
	high.edit("    release: one", "    release: automatic"+rules)
	high.start()
	daemon := low.start()
	good, bad := write(t, filepath.Join(low.dir, "work/good.txt"), "words"), write(t, filepath.Join(low.dir, "work/bad/deep/a.txt"), "this is TOP SECRET")
	both := []*side{low, high}
	for _, s := range both {
		s.ends(0, "good.txt: 1 files, nothing that tenant default does not let in", "policy", "test", good)
		s.ends(4, "policy-text", "policy", "test", "--tenant", "default", bad, good)
		s.ends(3, "no such file", "policy", "test", good+"-not")
		s.ends(3, "no tenant is called", "policy", "test", "--tenant", "other", good)
	}
	if one, two := low.try("policy", "test", "--json", bad), high.try("policy", "test", "--json", bad); one.out != two.out || one.code != two.code || one.err != two.err {
		t.Errorf("the low side says\n%s%s\nthe high side\n%s%s", one.out, one.err, two.out, two.err)
	}
	low.ends(0, "", "send", "--wait", good)
	high.reach("good.txt", "imported")
	r := low.ends(4, "policy-text", "send", filepath.Dir(filepath.Dir(bad)))
	if !strings.Contains(r.err, "tenant default does not let it in: 1 findings") {
		t.Errorf("send says %s", r.err)
	}
	if left, err := os.ReadDir(filepath.Join(low.dir, "outbox/default")); err != nil || len(left) > 1 { // .ecluse
		t.Errorf("in the outbox stand %v, %v", left, err)
	}
	if err := os.Rename(filepath.Dir(filepath.Dir(bad)), filepath.Join(low.dir, "outbox/default/bad")); err != nil {
		t.Fatal(err)
	}
	failed := low.reach("bad", "failed")
	const says = "not let in by the policy of tenant default: bad/deep/a.txt: "
	if !strings.HasPrefix(failed.text("reason"), says) {
		t.Errorf("%s", failed)
	}
	text, err := os.ReadFile(filepath.Join(low.dir, "outbox/default/.ecluse/failed", failed.text("bundle"), "REASON.txt"))
	if err != nil || !strings.Contains(string(text), says) {
		t.Errorf("REASON.txt: %q, %v", text, err)
	}
	low.ends(1, "ALARM failed", "status")
	if r := high.find("bad"); r != nil {
		t.Errorf("the high side heard of it: %s", r)
	}
	if names, _ := filepath.Glob(filepath.Join(low.dir, "state/inspect/*")); len(names) > 0 {
		t.Errorf("left over: %v", names)
	}
	daemon.stop()
}

// stops says a word about a route and holds both what is told and what is shown to it.
func (s *side) stops(reason string, args ...string) {
	s.t.Helper()
	s.ends(0, "stopped by", "policy", append([]string{"stop", "--reason", reason}, args...)...)
	s.ends(0, "route-stopped", "policy", "show")
	s.ends(1, "ALARM route-stopped", "status")
}

// A stop holds at once on either side, over kill -9 and with no daemon, loses nothing, and all goes on when it is over.
func TestARouteIsStoppedAndStartedUnderLoad(t *testing.T) {
	low, high := paired(t)
	high.edit("    release: one", "    release: automatic")
	r := &loaded{low: low, high: high, receiver: high.start(), sender: low.start()}
	r.load(30)
	r.stopHigh()
	r.stopLow()
	if out := low.try("policy", "show").out; !strings.Contains(out, "route          open") {
		t.Errorf("it shows\n%s", out)
	}
}

// loaded is a route, the daemons at its ends, and what was dropped into it.
type loaded struct {
	low, high        *side
	sender, receiver *daemon
	dropped          int
}

// load drops some more.
func (r *loaded) load(n int) {
	for range n {
		name := fmt.Sprintf("item-%d", r.dropped)
		if err := os.Rename(write(r.low.t, filepath.Join(r.low.dir, "work", name), strings.Repeat(name, 100)), filepath.Join(r.low.dir, "outbox/default", name)); err != nil {
			r.low.t.Fatal(err)
		}
		r.dropped++
	}
}

// imported is how many have arrived.
func (r *loaded) imported() int {
	return len(below(r.high.t, filepath.Join(r.high.dir, "import/default")))
}

// stopHigh stops it on the high side while content comes, over a kill: what comes is refused, and goes in when it is sent again.
func (r *loaded) stopHigh() {
	low, high, t := r.low, r.high, r.high.t
	t.Helper()
	high.ends(2, "needs a reason", "policy", "stop", "--tenant", "default")
	high.ends(2, "--tenant TENANT, or --all", "policy", "stop", "--reason", "x")
	high.ends(3, "no tenant is called", "policy", "stop", "--tenant", "other", "--reason", "x")
	high.ends(3, "nobody has stopped tenant default", "policy", "start", "--tenant", "default")
	if events := high.events(); slices.Contains(events, "route-stopped") || slices.Contains(events, "route-started") {
		t.Errorf("the log says of what was refused that it was done: %q", events)
	}
	high.stops("ticket 4711", "--tenant", "default")
	stopped := r.imported()
	r.load(30)
	r.receiver.kill()
	r.receiver = high.start()
	high.ends(1, "ticket 4711", "status")
	high.within(15*time.Second, "what comes is refused", func() bool { // what is sent before it hears the session is lost
		r.load(1)
		time.Sleep(200 * time.Millisecond)
		return len(high.list("--state", "refused")) > 0
	})
	if now := r.imported(); now > stopped+1 { // the one that had its name on record when the stop came
		t.Errorf("%d were imported while it was stopped", now-stopped)
	}
	for _, b := range high.list() {
		if s := b.text("state"); s == "refused" && b.text("reason") != "route-stopped" || s == "quarantined" && b.text("reason") != "route-stopped" {
			t.Errorf("%s", b)
		}
	}
	high.ends(0, "started by", "policy", "start", "--tenant", "default")
	low.within(15*time.Second, "all is sent", func() bool { return len(low.list("--state", "sent")) == r.dropped })
	high.within(30*time.Second, "all is imported", r.resent)
}

// resent says that all is imported; what is not is sent again.
func (r *loaded) resent() bool {
	if r.imported() == r.dropped {
		return true
	}
	for _, b := range r.low.list() { // of what was refused a receiver asks anew after some seconds
		if _, err := os.Lstat(filepath.Join(r.high.dir, "import/default", b.text("name"))); err != nil && b.text("state") == "sent" {
			r.low.ends(0, "", "resend", b.text("bundle"))
		}
	}
	time.Sleep(2 * time.Second)
	return false
}

// stopLow stops it on the low side, over a kill: what is dropped waits, and goes when it is over.
func (r *loaded) stopLow() {
	low, high, t := r.low, r.high, r.low.t
	t.Helper()
	low.stops("the diode is being replaced", "--all")
	low.ends(4, "route-stopped", "send", write(t, filepath.Join(low.dir, "work/more"), "more"))
	before := r.dropped
	r.load(20)
	r.sender.kill()
	low.ends(1, "the diode is being replaced", "status") // with no daemon
	low.ends(3, "policy start --all lifts that", "policy", "start", "--tenant", "default")
	r.sender = low.start()
	time.Sleep(1500 * time.Millisecond)
	if n := r.imported(); n != before {
		t.Errorf("%d came while the low side was stopped", n-before)
	}
	r.sender.kill()
	low.ends(0, "started by", "policy", "start", "--all", "--reason", "it is replaced")
	r.sender = low.start()
	high.within(20*time.Second, "all is imported", func() bool { return r.imported() == r.dropped })
}

// A route has people, a reason and a last day. After it nothing is let in or released, and a date that is put off frees what was held within seconds.
func TestARouteEnds(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/held"), "words"))
	held := high.reach("held", "quarantined").text("bundle")
	facts := func(day string) string {
		return "    release: one\n    owner: CTIE\n    contact: j@example.lu\n    justification: |\n      law of 2 August 2002\n      article 5\n    expires: " + day
	}
	high.edit("    release: one", facts("2026-01-31"))
	high.within(15*time.Second, "its route has ended", func() bool { return high.find("held").text("reason") == "route-expired" })
	high.ends(4, "route-expired", "approve", held)
	high.ends(1, "ALARM route-expired: tenant default: nothing goes through: its route ended with 2026-01-31 (ask j@example.lu", "status")
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/late"), "words"))
	late := high.reach("late", "refused")
	if late.text("reason") != "route-expired" {
		t.Errorf("%s", late)
	}
	out := high.ends(0, "with 2026-01-31, which is over", "policy", "show", "--tenant", "default").out
	for _, want := range []string{"owner          CTIE", "justification  law of 2 August 2002\n               article 5", "release        by one person", "is not looked at"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not shown:\n%s", want, out)
		}
	}
	next := time.Now().UTC().AddDate(0, 0, 10).Format("2006-01-02")
	high.edit("expires: 2026-01-31", "expires: "+next)
	high.within(15*time.Second, "it is held no more", func() bool { return high.find("held").text("reason") == "not-inspected" })
	high.ends(1, "ALARM route-expires: tenant default: its route ends with "+next, "status")
	high.ends(0, "tenant      default (CTIE, j@example.lu)", "show", held)
	high.ends(1, "tenant default: open, of CTIE, ask j@example.lu, until "+next, "status")
	var shown struct {
		Open    bool
		Expires string
		Owner   string
		Reason  *string
		Policy  any
		Release string
	}
	high.value(&shown, 0, "policy", "show", "--tenant", "default")
	if !shown.Open || shown.Expires != next || shown.Owner != "CTIE" || shown.Reason != nil || shown.Policy != nil || shown.Release != "one" {
		t.Errorf("%+v", shown)
	}
	high.ends(0, "approved", "approve", held)
	high.reach("held", "imported")
	high.within(20*time.Second, "it comes in by a repair", func() bool { // some seconds after it was refused it is asked about anew
		if high.find("late").text("state") == "quarantined" {
			return true
		}
		if low.find("late").text("state") == "sent" {
			low.ends(0, "", "resend", late.text("bundle"))
		}
		time.Sleep(time.Second)
		return false
	})
	high.edit("    owner: CTIE", "    enabled: false\n    owner: CTIE")
	high.within(15*time.Second, "it is not enabled", func() bool { return high.find("late").text("reason") == "route-stopped" })
	high.ends(4, "enabled: false", "approve", high.find("late").text("bundle"))
	high.edit("expires: "+next, "expires: 31.12.2027")
	high.ends(2, "tenants[0].expires", "policy", "show")
	high.ends(2, "with --state DIRECTORY no configuration is read", "policy", "stop", "--all", "--reason", "somebody is at work on the file")
	high.ends(3, "no tenant is called", "policy", "stop", "--state", filepath.Join(high.dir, "state"), "--tenant", "defualt", "--reason", "x")
	high.ends(0, "all tenants: stopped", "policy", "stop", "--state", filepath.Join(high.dir, "state"), "--all", "--reason", "somebody is at work on the file")
}

// Who opens a route and has sent again what was refused meanwhile types it once.
func TestAResendSoonAfterARefusalComesIn(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	high.start()
	low.start()
	high.ends(0, "stopped by", "policy", "stop", "--all", "--reason", "x")
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/a"), "a"))
	id := high.reach("a", "refused").text("bundle")
	high.ends(0, "started by", "policy", "start", "--all")
	time.Sleep(1500 * time.Millisecond)
	low.ends(0, "", "resend", id)
	high.reach("a", "quarantined")
}

// The low side's routes end by a clock that never goes back, and what the configuration says of them is taken up while the daemon runs.
func TestTheLowSidesRoutesAreFollowed(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	high.start()
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format("2006-01-02") }
	low.edit("    weight: 1", "    weight: 1\n    expires: "+day(40))
	write(t, filepath.Join(low.dir, "state/clock"), string(journal.Seal([]byte(time.Now().UTC().AddDate(0, 0, 45).Format(time.RFC3339))))) // somebody has set the machine's clock back since
	low.ends(1, "ALARM route-expired: tenant default", "status")                                                                           // with no daemon
	sender := low.start()
	low.ends(1, "ALARM route-expired: tenant default", "status")
	low.ends(1, "ALARM clock", "status")
	low.ends(4, "route-expired", "send", write(t, filepath.Join(low.dir, "work/a"), "a"))
	if err := os.Rename(filepath.Join(low.dir, "work/a"), filepath.Join(low.dir, "outbox/default/a")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if r := low.find("a"); r != nil {
		t.Errorf("it was taken: %s", r)
	}
	low.edit("expires: "+day(40), "expires: "+day(90))
	high.reach("a", "quarantined")
	low.edit("expires: "+day(90), "expires: soon")
	low.within(15*time.Second, "an alarm", func() bool {
		return strings.Contains(sender.said(), "cannot be read: the former routes stand")
	})
	low.edit("expires: soon", "expires: "+day(90)+"\n    enabled: false")
	low.within(15*time.Second, "it is stopped", func() bool { return strings.Contains(low.try("status").out, "ALARM route-stopped: tenant default") })
	if out := low.try("status").out; strings.Contains(out, "ALARM configuration") {
		t.Errorf("status says:\n%s", out)
	}
	sender.stop()
	text, err := os.ReadFile(filepath.Join(low.dir, "state/clock"))
	if err != nil {
		t.Fatal(err)
	}
	if kept, _, err := journal.Open(text); err != nil || string(kept) < day(45) {
		t.Errorf("kept for the next start: %q, %v", kept, err)
	}
}

// Whoever looks after the high side hears of a destination that is not there before something is to be delivered to it.
func TestADestinationThatIsNotThereIsAnAlarm(t *testing.T) {
	t.Parallel()
	_, high := paired(t)
	to := filepath.Join(high.dir, "import/default")
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	high.start()
	text := "ALARM delivery: " + to + ": nothing can be delivered there: "
	high.within(10*time.Second, "an alarm", func() bool { return strings.Contains(high.try("status").out, text+"it is not there") })
	write(t, to, "a file")
	high.within(10*time.Second, "another", func() bool { return strings.Contains(high.try("status").out, text+"it is no directory") })
	if err := errors.Join(os.Remove(to), os.Mkdir(to, 0o750)); err != nil {
		t.Fatal(err)
	}
	high.within(10*time.Second, "it is over", func() bool { return !strings.Contains(high.try("status").out, "ALARM delivery") })
}
