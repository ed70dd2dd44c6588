package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fault is one thing that goes wrong, once.
type fault struct {
	what string
	run  func(t *testing.T, rng *rand.Rand)
}

var faults = []fault{
	{"either side stands still for seconds", standsStill},
	{"the receiver is restarted all the time", restartedAllTheTime},
	{"the receiver starts late", startsLate},
	{"an outage longer than the burst heals by the second pass", outageHeals},
	{"a link that comes and goes", flaps},
	{"the receiver is killed for want of memory", killedForMemory},
	{"what rots while it is staged is not delivered", rots},
	{"the catalog is damaged, or gone", losesCatalog},
}

// TestSoakFaults is one round of faults of time and process on the real programs. Whatever happens, what was dropped arrives once, as it was.
func TestSoakFaults(t *testing.T) {
	rounds := soak(t, "ECLUSE_SOAK_FAULTS")
	seed := seedOf(t)
	for n := range rounds {
		// Two at a time: they mostly wait.
		ok := t.Run(fmt.Sprintf("round %d", n+1), func(t *testing.T) {
			for i, f := range faults {
				t.Run(f.what, func(t *testing.T) {
					t.Parallel()
					f.run(t, rand.New(rand.NewPCG(seed, uint64(n*len(faults)+i))))
				})
			}
		})
		if !ok {
			t.FailNow()
		}
	}
	t.Logf("soak faults: %d done", rounds)
}

// transfer is one large file on its way.
type transfer struct {
	*lab
	rng  *rand.Rand
	want map[string]entry
}

const large = "large"

// sends makes a lab with one file of a size on its way. Only the sides that are named run.
func sends(t *testing.T, rng *rand.Rand, o options, size int64, highToo bool) *transfer {
	t.Helper()
	x := &transfer{lab: up(t, o), rng: rng}
	if highToo {
		x.startBoth()
	} else {
		x.low.start()
		x.low.running()
	}
	p := filepath.Join(x.work(), large)
	random(t, p, byte(rng.Uint32()), size)
	x.want = survey(t, p)
	x.drop(p)
	return x
}

// out is how much of the wire the low side has used since its start.
func (x *transfer) out() int64 {
	x.t.Helper()
	var status struct{ Links []struct{ Bytes int64 } }
	out, _, _ := x.low.try("status", "--json")
	if err := json.Unmarshal([]byte(out), &status); err != nil || len(status.Links) == 0 {
		return 0
	}
	return status.Links[0].Bytes
}

// reaches waits until so much has left.
func (x *transfer) reaches(bytes int64) {
	x.t.Helper()
	x.within(time.Minute, fmt.Sprintf("%d bytes to be out", bytes), func() bool { return x.out() >= bytes })
}

// arrives waits for the file, helped by a person after patience, and compares it.
func (x *transfer) arrives(patience time.Duration) (resent int) {
	x.t.Helper()
	began := time.Now()
	next := began.Add(patience)
	for {
		r := x.high.find(large)
		if r != nil && r.State == "imported" {
			break
		}
		if time.Since(began) > 2*time.Minute {
			x.t.Fatalf("not imported: %+v", r)
		}
		if time.Now().After(next) {
			next = time.Now().Add(patience)
			for _, s := range x.low.list("--state", "sent") {
				x.low.ask("resend", s.Bundle)
				resent++
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	same(x.t, x.want, survey(x.t, filepath.Join(x.imports(), large)))
	if rows := x.high.list(); len(rows) != 1 {
		x.t.Errorf("%d bundles are known, one was sent", len(rows))
	}
	left, err := os.ReadDir(x.imports())
	must(x.t, err)
	if len(left) != 1 {
		x.t.Errorf("imported: %v", left)
	}
	return resent
}

// never is patience that nobody has to have.
const never = time.Hour

// standsStill is SIGSTOP of each side during a transfer. What the kernel does not keep for a receiver that stands still is loss, and the second pass has it.
func standsStill(t *testing.T, rng *rand.Rand) {
	x := sends(t, rng, options{rate: "100Mbit", passes: 2, apart: "3s"}, 24<<20, true)
	for i, s := range []*side{x.low, x.high} {
		x.reaches(int64(3+10*i) << 20)
		long := time.Second + time.Duration(rng.Int64N(int64(3*time.Second)))
		must(t, s.daemon.Process.Signal(syscall.SIGSTOP))
		time.Sleep(long)
		must(t, s.daemon.Process.Signal(syscall.SIGCONT))
		t.Logf("%s stood still for %v", s.binary, long)
	}
	x.arrives(never)
}

// restarts is how often restartedAllTheTime ends the receiver: more where many rounds are asked for.
func restarts(t *testing.T) int {
	if soak(t, "ECLUSE_SOAK_FAULTS") > 1 {
		return 100
	}
	return 20
}

// restartedAllTheTime holds that chunks of all the receiver's lives add up.
func restartedAllTheTime(t *testing.T, rng *rand.Rand) {
	n := restarts(t)
	x := sends(t, rng, options{rate: "40Mbit", passes: 2, apart: "1s"}, int64(n)<<21, true)
	for range n {
		time.Sleep(time.Duration(200+rng.IntN(500)) * time.Millisecond)
		if rng.IntN(2) == 0 {
			x.high.kill()
		} else {
			x.high.running() // or its signal would come before it is heard
			x.high.stop()
		}
		x.high.start()
	}
	x.high.running()
	if r := x.high.find(large); r == nil {
		t.Fatal("nothing is known of it after the restarts")
	} else if r.State == "imported" {
		t.Log("it was whole before the last restart")
	}
	t.Logf("%d restarts, sent again %d times", n, x.arrives(20*time.Second))
}

// startsLate holds that a receiver that was not there at the beginning has all of it from what it saw and the second pass.
func startsLate(t *testing.T, rng *rand.Rand) {
	const size = 10 << 20
	for _, part := range []int64{1, 50, 99} {
		x := sends(t, rng, options{rate: "40Mbit", passes: 2, apart: "2s"}, size, false)
		x.reaches(size * part / 100)
		x.high.start()
		x.arrives(never)
		x.high.stop()
		x.low.stop()
	}
}

// outageHeals is an outage much longer than the burst that was stated, and no person needed.
func outageHeals(t *testing.T, rng *rand.Rand) {
	x := sends(t, rng, options{rate: "60Mbit", passes: 2, apart: "4s"}, 16<<20, true)
	x.reaches(4 << 20)
	x.script(nil, "outage", "on")
	time.Sleep(1500*time.Millisecond + time.Duration(rng.IntN(1000))*time.Millisecond)
	x.script(nil, "outage", "off")
	x.within(30*time.Second, "the first pass to be out", func() bool { r := x.low.find(large); return r != nil && r.PassesDone != nil && *r.PassesDone >= 1 })
	if r := x.high.find(large); r == nil || r.State != "receiving" && r.State != "damaged" {
		t.Fatalf("after the first pass it is %+v: the outage took nothing", r)
	}
	x.arrives(never)
}

// flaps is many short outages, each longer than the burst, all through the first pass.
func flaps(t *testing.T, rng *rand.Rand) {
	x := sends(t, rng, options{rate: "60Mbit", passes: 2, apart: "4s"}, 16<<20, true)
	times := 0
	for r := x.low.find(large); r == nil || r.PassesDone == nil || *r.PassesDone == 0; r = x.low.find(large) {
		time.Sleep(time.Duration(50+rng.IntN(300)) * time.Millisecond)
		x.script(nil, "outage", "on")
		time.Sleep(time.Duration(50+rng.IntN(300)) * time.Millisecond)
		x.script(nil, "outage", "off")
		times++
	}
	if r := x.high.find(large); r != nil && r.State == "imported" {
		t.Fatal("the outages took nothing")
	}
	t.Logf("%d outages", times)
	x.arrives(never)
}

// killedForMemory holds that a receiver that is killed for want of memory is one that was killed.
func killedForMemory(t *testing.T, rng *rand.Rand) {
	group := makeGroup(t, 24<<20)
	x := sends(t, rng, options{mtu: 9000, rate: "400Mbit", passes: 2, apart: "3s"}, 100<<20, true)
	group(x.high.daemon.Process.Pid)
	code, ended := x.high.ends(20 * time.Second)
	if !ended || code != -1 {
		t.Fatalf("with 24 MiB it lived: ended %v with %d", ended, code)
	}
	x.high.start()
	x.high.running()
	t.Logf("killed; sent again %d times", x.arrives(15*time.Second))
}

// makeGroup makes a control group, of either version, with a bound for memory, and returns what puts a process into it.
func makeGroup(t *testing.T, bytes int) func(pid int) {
	t.Helper()
	name := fmt.Sprintf("ecluse-lab-%d-%d", os.Getpid(), labs.Load())
	var faults []error
	for _, v := range []struct{ dir, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir := filepath.Join(v.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			faults = append(faults, err)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if err := os.WriteFile(filepath.Join(dir, v.limit), fmt.Append(nil, bytes), 0); err != nil {
			faults = append(faults, err)
			continue
		}
		return func(pid int) { must(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, pid), 0)) }
	}
	text := fmt.Sprint("SKIPPED, WANT OF MEMORY IS NOT TESTED: no memory control group can be made: ", errors.Join(faults...))
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
	return nil
}

// rots holds that bytes that change on the receiver's disk before a bundle is whole are never delivered. They are sent again like what is missing.
func rots(t *testing.T, rng *rand.Rand) {
	x := sends(t, rng, options{rate: "60Mbit"}, 16<<20, true)
	x.reaches(8 << 20)
	x.script(nil, "outage", "on")
	x.low.reach(30*time.Second, large, "sent")
	x.script(nil, "outage", "off")
	time.Sleep(3 * time.Second) // a checkpoint
	x.high.stop()
	staged, err := filepath.Glob(filepath.Join(x.high.dir, "state", "receiving", "*", "[0-9]*"))
	must(t, err)
	flipped := 0
	for _, p := range staged {
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		for at := int64(rng.IntN(4096)); at < info.Size(); at += 1 << 20 {
			b := make([]byte, 1)
			_, err := f.ReadAt(b, at)
			must(t, err)
			b[0] ^= 1 << rng.IntN(8)
			_, err = f.WriteAt(b, at)
			must(t, err)
			flipped++
		}
		must(t, f.Close())
	}
	if flipped == 0 {
		t.Fatalf("nothing was staged: %v", staged)
	}
	x.high.start()
	x.open()
	t.Logf("%d bytes changed; sent again %d times", flipped, x.arrives(6*time.Second))
}

// losesCatalog holds that the catalog is a copy. One that is damaged is refused in words, one that is gone is made again, and nothing of what was held is forgotten.
func losesCatalog(t *testing.T, rng *rand.Rand) {
	l := up(t, options{release: "one"})
	l.startBoth()
	for i := range 3 {
		p := filepath.Join(l.work(), fmt.Sprint("item ", i))
		random(t, p, byte(i), 100_000)
		l.drop(p)
		l.high.reach(20*time.Second, fmt.Sprint("item ", i), "quarantined")
		l.low.reach(20*time.Second, fmt.Sprint("item ", i), "sent")
	}
	l.high.ask("reject", l.high.find("item 2").Bundle)
	for _, s := range []*side{l.low, l.high} {
		before := s.list()
		s.stop()
		files, err := filepath.Glob(filepath.Join(s.dir, "state", "catalog.db*"))
		must(t, err)
		if len(files) == 0 {
			t.Fatal("there is no catalog")
		}
		text, err := os.ReadFile(files[0])
		must(t, err)
		for at := range 4096 {
			text[at] ^= byte(1 + rng.IntN(255))
		}
		must(t, os.WriteFile(files[0], text, 0o600))
		out, err := exec.Command("ip", "netns", "exec", s.ns, filepath.Join(programs, s.binary), "run", "--config", s.config).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "catalog") {
			t.Errorf("%s on a damaged catalog: %v\n%s", s.binary, err, out)
		}
		for _, f := range files {
			must(t, os.RemoveAll(f))
		}
		s.start()
		s.running()
		after := s.list()
		if len(after) != len(before) {
			t.Fatalf("%s had %d rows, and has %d", s.binary, len(before), len(after))
		}
		for i := range before {
			a, b := before[i], after[i]
			if a.Bundle != b.Bundle || a.State != b.State || a.Sequence == nil || b.Sequence == nil || *a.Sequence != *b.Sequence {
				t.Errorf("%s: %+v has become %+v", s.binary, a, b)
			}
		}
	}
}
