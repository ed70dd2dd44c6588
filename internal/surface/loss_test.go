package surface

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhatNeverCameIsKnownAndToldAndSentAgain(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	low.start()
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/lost.txt"), "lost"))
	daemon := high.start()
	var r row
	high.within(10*time.Second, "a row of what never came", func() bool {
		rows := high.list()
		if len(rows) == 1 {
			r = rows[0]
		}
		return len(rows) == 1
	})
	if have := slices.Sorted(maps.Keys(r)); !slices.Equal(have, slices.Sorted(slices.Values(highKeys))) {
		t.Errorf("keys are %q", have)
	}
	for _, key := range []string{"bundle", "name", "verdict", "files", "bytes", "missing_bytes", "created", "received"} {
		if string(r[key]) != "null" {
			t.Errorf("of what never came %s is %s, not null", key, r[key])
		}
	}
	if r.text("state") != "missing" || string(r["sequence"]) != "1" || r.text("tenant") != "default" || r.text("sender") != "low-1" || r.text("epoch") == "" || r.text("reason") == "" {
		t.Errorf("%s", r)
	}
	high.within(5*time.Second, "an alarm", func() bool {
		a := high.try("status")
		return a.code == 1 && strings.HasPrefix(a.out, "ALARM missing: ")
	})
	high.ends(0, "missing since ", "list", "--state", "missing")
	if string(r["through"]) != "1" || time.Since(r.time("since")).Abs() > time.Minute {
		t.Errorf("%s", r)
	}
	high.within(20*time.Second, "a line of the log that names it", func() bool {
		return strings.Contains(daemon.said(), `"message":"missing","sender":"low-1","tenant":"default"`)
	})
	low.ends(0, "", "resend", low.find("lost.txt").text("bundle"))
	high.reach("lost.txt", "quarantined")
	high.within(5*time.Second, "the alarm to end", func() bool { return high.try("status").code == 0 })
	if rows := high.list(); len(rows) != 1 {
		t.Errorf("%s", rows)
	}
}

// What can never come is given up by a person: the alarm ends, no receipt names it, and should it come all the same it is taken.
func TestWhatCanNeverComeIsGivenUpByAPerson(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	low.start()
	for _, name := range []string{"one", "two"} {
		low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work", name), name))
	}
	daemon := high.start()
	high.within(10*time.Second, "both to be missing", func() bool { return len(high.list("--state", "missing")) > 0 && high.try("status").code == 1 })
	high.ends(4, "nothing to approve", "approve", "default/1")
	high.ends(3, "nobody who is paired has sent", "reject", "--reason", "x", "default/3")
	high.ends(0, "abandoned", "reject", "--reason", "its item was removed on the low side", "default/1")
	high.ends(4, "abandoned", "reject", "--reason", "again", "default/1")
	daemon.stop()
	high.ends(0, "abandoned", "reject", "--reason", "this too", "low-1/default/2")
	high.start()
	high.within(5*time.Second, "the alarm to end", func() bool { return high.try("status").code == 0 })
	if rows := high.list("--state", "abandoned"); len(rows) != 2 || rows[0].text("reason") != "rejected" || string(rows[0]["sequence"]) != "1" || string(rows[0]["name"]) != "null" {
		t.Errorf("%s", rows)
	}
	if out := high.try("show", high.list("--state", "abandoned")[0].text("bundle")).out; !strings.Contains(out, "its item was removed on the low side") {
		t.Errorf("show says:\n%s", out)
	}
	high.hears("low-1")
	high.ends(3, "nothing is safe", "ticket", "--receipt")
	high.within(10*time.Second, "a heartbeat in this life", func() bool { return strings.Contains(high.try("status").out, " ago") })
	low.ends(0, "", "resend", low.find("two").text("bundle"))
	high.reach("two", "quarantined")
}

// What is damaged and will not be whole is given up as well.
func TestWhatIsDamagedIsGivenUpByAPerson(t *testing.T) {
	t.Parallel()
	low, high, w := wired(t)
	high.start()
	low.start()
	w.from.Store(3_000)
	w.to.Store(8_000)
	low.ends(0, "", "send", "--wait", noise(t, filepath.Join(low.dir, "work/big.bin"), 24<<20))
	w.to.Store(0)
	damaged := high.reach("big.bin", "damaged")
	high.ends(0, "abandoned", "reject", "--reason", "not wanted any more", damaged.text("bundle"))
	high.within(5*time.Second, "the alarm to end", func() bool { return high.try("status").code == 0 })
	if left := below(t, filepath.Join(high.dir, "state/receiving")); len(left) > 0 {
		t.Errorf("staged are still %v", left)
	}
}

func TestAutomaticReleaseImportsByItself(t *testing.T) {
	low, high := sides(t)
	high.edit("release: one", "release: automatic")
	low.pair(high)
	high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/free.txt"), "free"))
	high.reach("free.txt", "imported")
	if text, err := os.ReadFile(filepath.Join(high.dir, "import/default/free.txt")); err != nil || string(text) != "free" {
		t.Errorf("%v, %q", err, text)
	}
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/free.txt"), "again"))
	high.within(10*time.Second, "the second of one name", func() bool { return len(high.list("--state", "imported")) == 2 })
	if text, err := os.ReadFile(filepath.Join(high.dir, "import/default/free.txt~2")); err != nil || string(text) != "again" {
		t.Errorf("of one name the second: %v, %q, %q", err, text, below(t, filepath.Join(high.dir, "import")))
	}
}

func TestAnItemThatCannotTravelStandsInFailedWithItsReason(t *testing.T) {
	t.Parallel()
	low, _ := paired(t)
	low.edit("    weight: 1", "    weight: 1\n    names: portable")
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/a:b"), "x"))
	r := low.reach("a:b", "failed")
	if r.text("reason") == "" || string(r["sequence"]) != "null" || string(r["finished"]) == "null" {
		t.Errorf("%s", r)
	}
	if have := slices.Sorted(maps.Keys(r)); !slices.Equal(have, slices.Sorted(slices.Values(lowKeys))) {
		t.Errorf("keys are %q", have)
	}
	low.within(5*time.Second, "an alarm", func() bool { a := low.try("status"); return a.code == 1 && strings.HasPrefix(a.out, "ALARM failed: ") })
	low.ends(1, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/c:d"), "x"))
	var ended row
	low.value(&ended, 1, "send", "--wait", write(t, filepath.Join(low.dir, "work/e:f"), "x"))
	if ended.text("state") != "failed" || ended.text("name") != "e:f" || ended.text("bundle") == "" {
		t.Errorf("send --wait says %s", ended)
	}
	var failed []string
	low.within(5*time.Second, "all three to be put away, each with its reason", func() bool {
		failed = below(t, filepath.Join(low.dir, "outbox/default/.ecluse/failed"))
		return len(failed) == 9
	})
	if !slices.ContainsFunc(failed, func(f string) bool { return strings.HasSuffix(f, "/a:b") || strings.HasSuffix(f, "a:b") }) || len(failed) < 2 {
		t.Errorf("failed holds %q", failed)
	}
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/fine.txt"), "x"))
	low.ends(4, "only what has failed", "dismiss", low.find("fine.txt").text("bundle"))
	low.ends(3, "", "dismiss", "abcdefg")
	for i, name := range []string{"a:b", "c:d", "e:f"} {
		if low.try("status").code != 1 {
			t.Errorf("the alarm is over after %d of 3", i)
		}
		id := low.find(name).text("bundle")
		low.ends(0, id+"  dismissed", "dismiss", id)
		low.ends(0, "", "dismiss", id)
		low.ends(0, "/failed/"+id+"~seen", "show", id)
		if reason := low.find(name).text("reason"); !strings.HasPrefix(reason, "dismissed by ") || strings.Count(reason, "dismissed") != 1 {
			t.Errorf("list says %q", reason)
		}
	}
	low.within(5*time.Second, "the alarm to end", func() bool { return low.try("status").code == 0 })
	if after := below(t, filepath.Join(low.dir, "outbox/default/.ecluse/failed")); len(after) != len(failed) {
		t.Errorf("of %q is left %q", failed, after)
	}
}

// Who hears nothing says so, also who has never heard anything in this life, and nobody but a sender that is expected is missed.
func TestALinkThatFallsSilentIsAnAlarm(t *testing.T) {
	t.Parallel()
	low, high := sides(t)
	write(t, high.config, text(t, high.config)+"silence: 5s\n")
	alone := high.start()
	time.Sleep(6 * time.Second)
	high.ends(0, "", "status") // nobody is paired
	alone.stop()
	low.pair(high)
	heard := low.start()
	d := high.start()
	high.within(10*time.Second, "a heartbeat", func() bool { return strings.Contains(high.ends(0, "", "status").out, " ago") })
	heard.stop()
	silent := func(what string) {
		high.within(10*time.Second, what, func() bool {
			a := high.try("status")
			return a.code == 1 && strings.HasPrefix(a.out, "ALARM silence: link a: ")
		})
	}
	silent("an alarm")
	high.within(5*time.Second, "a line of the log", func() bool { return strings.Contains(d.said(), `"alarm":"silence"`) })
	d.stop()
	high.start()
	silent("an alarm after a restart")
	low.start()
	high.within(10*time.Second, "the alarm to end", func() bool { return high.try("status").code == 0 })
}
