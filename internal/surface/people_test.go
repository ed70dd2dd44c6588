package surface

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOnATerminalTheLogIsForPeople(t *testing.T) {
	_, high := paired(t)
	master, slave := terminal(t)
	c := high.command(context.Background(), "run", "--config", high.config)
	c.Stderr = slave
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	said := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(master) // ends with an error when the last writer does
		said <- string(text)
	}()
	high.within(10*time.Second, "the daemon", func() bool {
		var status struct{ Running bool }
		return json.Unmarshal([]byte(high.try("status", "--json").out), &status) == nil && status.Running
	})
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	master.SetReadDeadline(time.Now())
	select {
	case text := <-said:
		if !strings.Contains(text, "receiving") || strings.HasPrefix(text, "{") {
			t.Errorf("on a terminal it says %q", text)
		}
	case <-time.After(5 * time.Second):
		t.Error("the terminal stays open")
	}
}

// TestTwoPeopleRelease needs root, to be two people, and the group ecluse-release on this machine (make needs).
func TestTwoPeopleRelease(t *testing.T) {
	group, err := user.LookupGroup("ecluse-release")
	if os.Getuid() != 0 || err != nil {
		lacking(t, fmt.Sprintf("RELEASE BY TWO PEOPLE IS NOT TESTED: uid %d, %v", os.Getuid(), err))
	}
	gid, err := strconv.ParseUint(group.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	low, high := sides(t)
	high.edit("release: one", "release: two")
	low.pair(high)
	pen := make(map[uint32]string)
	for _, uid := range []uint32{61001, 61002} {
		pen[uid] = newPen(t, high, fmt.Sprint("officer", uid))
		if err := os.Chown(pen[uid], int(uid), int(uid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(high.config, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir := high.dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/two.txt"), "two"))
	id := high.reach("two.txt", "quarantined").text("bundle")
	as := func(uid, gid uint32, groups []uint32, verb string, args ...string) result {
		t.Helper()
		c := high.command(context.Background(), append([]string{verb, "--config", high.config}, args...)...)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
		c.Dir = "/"
		var out, errs strings.Builder
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil && c.ProcessState == nil {
			t.Fatal(err)
		}
		return result{out.String(), errs.String(), c.ProcessState.ExitCode()}
	}
	release := []uint32{uint32(gid)}
	as(61003, 61003, nil, "approve", "--key", pen[61001], id).check(t, "approve by a stranger", 1, "")
	as(61003, 61003, nil, "list", "--json").check(t, "list by a stranger", 1, "")
	as(61001, 61001, release, "verify", id).check(t, "verify by the first", 0, id)
	as(61003, 61003, nil, "usage", "--json").check(t, "usage by a stranger", 1, "")
	as(61001, 61001, release, "usage", "--csv").check(t, "usage by the first", 0, ",open,false,default,1,1,3,,")
	as(61001, 61001, release, "usage", "statement", "2020-01").check(t, "a statement by the first", 3, "is not closed")
	as(61003, 61003, nil, "inspect", id).check(t, "inspect by a stranger", 1, "")
	as(61001, 61001, release, "inspect", id).check(t, "inspect by the first", 3, "has no policy")
	as(61001, 61001, release, "inspect", "--all").check(t, "inspect all by the first", 0, "")
	as(61001, 61001, release, "approve", "--key", pen[61001], id).check(t, "approve by the first", 0, "1 more must approve")
	as(61001, 61001, release, "approve", "--key", pen[61001], id).check(t, "approve by the first, again", 4, "somebody else")
	as(61002, 61002, release, "approve", id).check(t, "approve without a key of one's own", 2, "--key")
	if r := high.find("two.txt"); r.text("state") != "quarantined" {
		t.Errorf("one person released it: %s", r)
	}
	as(61002, 61002, release, "approve", "--key", pen[61002], id[:6]).check(t, "approve by the second", 0, id)
	high.reach("two.txt", "imported")
	r := as(61001, 61001, release, "show", "--json", id)
	r.check(t, "show by the first", 0, `"uid": 61002`)
	r = as(61001, 61001, release, "list", "--json")
	r.check(t, "list by the first", 0, id)
}
