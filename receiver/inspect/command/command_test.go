package command

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/inspecttest"
)

// asChild makes the test's own program what fences itself in and becomes a command.
const asChild = "as-a-fenced-child"

// asDaemon makes it one that runs a command, until it is killed.
const asDaemon = "as-a-daemon"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asChild {
		os.Exit(Confine(os.Args[2], os.Stderr))
	}
	if len(os.Args) == 3 && os.Args[1] == asDaemon {
		scratch := os.Args[2]
		c := &Command{Self: []string{"/proc/self/exe", asChild}, Command: []string{"/bin/sh", "-c", "touch $TMPDIR/begun; exec sleep 1000"}, Scratch: scratch}
		_, err := c.Ready(context.Background())
		fmt.Println(err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// world is an item in a directory, a directory to work in, and something that is nobody's business.
type world struct {
	t    *testing.T
	dir  string
	item inspect.Item
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for _, d := range []string{"files/item/deep", "scratch"} {
		inspecttest.Must(t, os.MkdirAll(filepath.Join(w.dir, d), 0o700))
	}
	for name, text := range map[string]string{"files/item/a.txt": "words", "files/item/deep/b": "#!/bin/sh\necho run\n", "secret": "the secret"} {
		inspecttest.Must(t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o700))
	}
	files := filepath.Join(w.dir, "files")
	w.item = inspect.Item{Dir: files, Name: "item", Files: os.DirFS(files), Scratch: filepath.Join(w.dir, "scratch"), Room: 1 << 30}
	return w
}

// shell is a command that is a script for the shell; what it is to look at is $1.
func (w *world) shell(text string) *Command {
	return &Command{Self: []string{"/proc/self/exe", asChild}, Command: []string{"/bin/sh", "-c", text, "sh"}, Scratch: filepath.Join(w.dir, "scratch")}
}

func (w *world) look(c *Command, limit time.Duration) (*inspect.Answer, error) {
	ctx, cancel := context.WithTimeoutCause(w.t.Context(), limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	return c.Look(ctx, w.item)
}

// untouched requires that the item is as it was, and that nothing is left of who looked at it.
func (w *world) untouched() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "files/item/a.txt"))
	if info, e := os.Stat(filepath.Join(w.dir, "files/item/a.txt")); err != nil || e != nil || string(text) != "words" || info.Mode() != 0o700 {
		w.t.Errorf("the item holds %q, %v, %v", text, err, e)
	}
	if left, err := os.ReadDir(filepath.Join(w.dir, "scratch")); err != nil || len(left) > 0 {
		w.t.Errorf("in the scratch directory stand %v, %v", left, err)
	}
	for _, p := range w.left() {
		w.t.Errorf("%s is left", p)
	}
}

// left are the processes that work in the scratch directory.
func (w *world) left() (list []string) {
	processes, err := filepath.Glob("/proc/[0-9]*/environ")
	inspecttest.Must(w.t, err)
	for _, p := range processes {
		if text, err := os.ReadFile(p); err == nil && strings.Contains(string(text), w.dir+"/scratch/run-") {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
			list = append(list, fmt.Sprintf("%s %q", p, name))
		}
	}
	return list
}

const saysClean = `echo '{"verdict": "clean", "version": "rules 7"}'`

func TestACommandSaysWhatItFound(t *testing.T) {
	w := newWorld(t)
	a, err := w.look(w.shell(`test "$(cat "$1/a.txt")" = words && test -x /usr/bin/env && `+saysClean), time.Minute)
	if err != nil || len(a.Findings) > 0 || a.Files != 2 || a.Version.Text != "rules 7" {
		t.Errorf("%+v, %v", a, err)
	}
	c := w.shell(`cat <<END
{"version": "rules 7", "findings": [{"path": "item/deep/b", "text": "a script"}, {"path": "item", "text": "two\nlines"}], "verdict": "flagged"}
END`)
	a, err = w.look(c, time.Minute)
	if err != nil || len(a.Findings) != 2 || a.Findings[0].Path != "item/deep/b" || a.Findings[0].Text != "a script" || a.Findings[0].Reason != bundle.ReasonInspectorFinding {
		t.Errorf("%+v, %v", a, err)
	}
	if v, err := w.shell(`test -z "$(ls -A "$1")" && ` + saysClean).Ready(t.Context()); err != nil || v.Text != "rules 7" {
		t.Errorf("its version: %+v, %v", v, err)
	}
	if v, err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "in an empty directory") {
		t.Errorf("one that finds something in nothing: %+v, %v", v, err)
	}
	if v, err := (&Command{Self: c.Self, Command: []string{"/not/there"}, Scratch: c.Scratch}).Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("one that is not there: %+v, %v", v, err)
	}
	w.untouched()
}

// The path of a file in quarantine would say whose it is, and which bundle. Under its other name it can be read, and nothing else.
func TestACommandIsNotToldWhereAFileStands(t *testing.T) {
	w := newWorld(t)
	w.item.Dir, w.item.Name, w.item.Ours = filepath.Join(w.dir, "files/item"), "a.txt", true
	w.item.Files = os.DirFS(w.item.Dir)
	c := w.shell(`case "$1" in *files*) exit 1;; */a.txt) ;; *) exit 2;; esac
test "$(cat "$1")" = words || exit 3
test "$(ls "$(dirname "$1")")" = a.txt || exit 4
for what in "echo x > $1" "echo x >> $1" "rm -f $1" "mv $1 $TMPDIR" "ln $1 $TMPDIR/x" "chmod 777 $1" "touch $(dirname $1)/x" "cat ` + w.item.Dir + `/a.txt" "ls $(dirname $1)/.."; do
	if (eval "$what") > /dev/null 2>&1; then echo "it could: $what" >&2; exit 5; fi
done
` + saysClean)
	if a, err := w.look(c, time.Minute); err != nil || a.Files != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := w.look(w.shell("exit 7"), time.Minute); err == nil {
		t.Error("one that fails does not")
	}
	w.untouched()
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(w.item.Dir, "a.txt"), &st); err != nil || st.Nlink != 1 {
		t.Errorf("it has %d names, %v", st.Nlink, err)
	}
	w.item.Ours = false // somebody else's keeps the one that it has
	if _, err := w.look(w.shell(`test "$1" = `+w.item.Dir+`/a.txt && test "$(cat "$1")" = words && `+saysClean), time.Minute); err != nil {
		t.Error(err)
	}
}

func TestWhatACommandCannotDoIsNeverClean(t *testing.T) {
	for name, row := range map[string]struct{ script, says string }{
		"a crash":                         {`kill -SEGV $$; ` + saysClean, "segmentation fault"},
		"clean, and then an error":        {saysClean + `; exit 1`, "exit status 1"},
		"an endless loop":                 {saysClean + `; while :; do :; done`, "longer than"},
		"a fork bomb":                     {saysClean + `; f() { f | f & }; f; while :; do :; done`, "longer than"},
		"one that sleeps":                 {saysClean + `; exec sleep 100`, "longer than"},
		"much memory":                     {`python3 -c "x = bytearray(3 << 30)" && ` + saysClean, "exit status"},
		"a write to what it looks at":     {`echo x > "$1/a.txt" && ` + saysClean, "exit status"},
		"an append to it":                 {`echo x >> "$1/a.txt" && ` + saysClean, "exit status"},
		"its removal":                     {`rm -f "$1/a.txt" && ` + saysClean, "exit status"},
		"a file beside":                   {`touch "$1/new" && ` + saysClean, "exit status"},
		"another mode":                    {`chmod 777 "$1/a.txt" && ` + saysClean, "exit status"},
		"nothing":                         {`:`, "unexpected EOF"},
		"words":                           {`echo it is clean`, "invalid character"},
		"two answers":                     {saysClean + ";" + saysClean, "behind its answer"},
		"words behind the answer":         {saysClean + `; echo and more`, ""},
		"an unknown key":                  {`echo '{"verdict": "clean", "version": "1", "sure": true}'`, "not known"},
		"a key twice":                     {`echo '{"verdict": "flagged", "version": "1", "verdict": "clean"}'`, "twice"},
		"a key in other letters":          {`echo '{"Verdict": "clean", "version": "1"}'`, "not known"},
		"no verdict":                      {`echo '{"version": "1"}'`, "missing"},
		"no version":                      {`echo '{"verdict": "clean"}'`, "missing"},
		"null":                            {`echo '{"verdict": null, "version": "1"}'`, "missing"},
		"another verdict":                 {`echo '{"verdict": "fine", "version": "1"}'`, "its verdict is"},
		"clean, and findings":             {`echo '{"verdict": "clean", "version": "1", "findings": [{"path": "a", "text": "b"}]}'`, "has findings"},
		"flagged, and none":               {`echo '{"verdict": "flagged", "version": "1"}'`, "no finding"},
		"a list":                          {`echo '[]'`, "stands where"},
		"half an answer":                  {`printf '{"verdict": "clean", "version": "1"'`, "unexpected EOF"},
		"an answer that is too long":      {saysClean + `; head -c 2000000 /dev/zero`, "more than"},
		"one that others go on with":      {`(sleep 100; ` + saysClean + `) & exit 0`, "unexpected EOF"},
		"one that leaves somebody behind": {`setsid sleep 1000 > /dev/null 2>&1 && ` + saysClean, "exit status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			limit := 20 * time.Second
			if row.says == "longer than" {
				limit = 700 * time.Millisecond
			}
			began := time.Now()
			if a, err := w.look(w.shell(row.script), limit); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("it says %+v, %v; want an error with %q", a, err, row.says)
			}
			if took := time.Since(began); took > limit+10*time.Second {
				t.Errorf("it took %v", took)
			}
			w.untouched()
		})
	}
}

// Whatever it fills the disk with, and wherever it hides that. One after another, as they look at what the disk has left.
func TestACommandFillsNoDisk(t *testing.T) {
	for name, row := range map[string]struct{ script, says string }{
		"many files":   {`for i in 1 2 3 4 5 6 7 8 9; do head -c 1000000 /dev/zero > $TMPDIR/$i; done; while :; do :; done`, "the disk"},
		"a large file": {`head -c 4000000 /dev/zero > $TMPDIR/x && ` + saysClean, "exit status"},
		"files that have no name": {`python3 -c "
import os
files = []
for n in range(240):
    files.append(open('x', 'wb')); os.remove('x'); files[-1].write(bytes(1000000)); files[-1].flush()
while True: pass"`, "the disk"},
		"files that nobody may list": {`mkdir -m 300 d; for i in $(seq 300); do head -c 1000000 /dev/zero > d/$i; done; while :; do :; done`, "the disk"},
		"a tree deeper than a path": {`python3 -c "
import os
for n in range(3000): os.mkdir('d'); os.chdir('d')
while True: pass"`, "the disk"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.item.Room = 1 << 20
			if a, err := w.look(w.shell(row.script), 20*time.Second); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("it says %+v, %v; want an error with %q", a, err, row.says)
			}
			w.untouched()
		})
	}
}

// What it has started in the background ends with it, also where it says clean.
func TestNothingIsLeftOfACommand(t *testing.T) {
	w := newWorld(t)
	for what, script := range map[string]string{
		"a process": `sleep 1000 > /dev/null 2>&1 & `, "directories that are closed": `mkdir -m 300 d d/e && touch d/e/f && mkdir -m 0 g; `,
		"a deep tree": `python3 -c "import os
for n in range(20000): os.mkdir('d'); os.chdir('d')"; `,
	} {
		if _, err := w.look(w.shell(script+saysClean), time.Minute); err != nil && what != "a deep tree" { // which may be seen in time
			t.Errorf("%s: %v", what, err)
		}
		w.untouched()
	}
}

func TestACommandEndsWithWhoStartedIt(t *testing.T) {
	w := newWorld(t)
	scratch := filepath.Join(w.dir, "scratch")
	c := exec.Command("/proc/self/exe", asDaemon, scratch)
	inspecttest.Must(t, c.Start())
	begun := func() bool {
		found, err := filepath.Glob(filepath.Join(scratch, "run-*", "begun"))
		return err == nil && len(found) > 0
	}
	for end := time.Now().Add(20 * time.Second); !begun(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the command does not begin")
		}
	}
	inspecttest.Must(t, c.Process.Kill())
	_ = c.Wait()
	for end := time.Now().Add(10 * time.Second); len(w.left()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("left are %q", w.left())
		}
	}
}

// escapes are what a command that was taken over would try, each as a script that succeeds when it can.
func escapes(w *world, port int) map[string]string {
	python := func(text string) string { return `python3 -c '` + text + `'` }
	return map[string]string{
		"read the secret":                     `cat ` + w.dir + `/secret`,
		"list what is beside":                 `ls ` + w.dir,
		"list the root":                       `ls /`,
		"read passwords":                      `cat /etc/shadow`,
		"read users":                          `cat /etc/passwd`,
		"look at processes":                   `cat /proc/1/cmdline`,
		"write elsewhere":                     `touch /tmp/escaped-` + strconv.Itoa(os.Getpid()),
		"start what the item holds":           `"$1/deep/b"`,
		"kill who started it":                 `kill -9 ` + strconv.Itoa(os.Getpid()),
		"connect":                             python(fmt.Sprintf(`import socket; socket.create_connection(("127.0.0.1", %d))`, port)),
		"open a socket of this machine":       python(`import socket; socket.socket(socket.AF_UNIX)`),
		"open a raw socket":                   python(`import socket; socket.socket(socket.AF_PACKET)`),
		"make a namespace":                    `unshare --user true`,
		"become root":                         `su -c true`,
		"change the mode of what it reads":    `chmod 600 "$1/a.txt"`,
		"change the time of what it reads":    `touch -a "$1/a.txt"`,
		"give itself away":                    `chown 1:1 $TMPDIR`,
		"set its limits higher":               `ulimit -n 100000`,
		"lead somewhere else by a link":       `ln -s ` + w.dir + `/secret $TMPDIR/s && cat $TMPDIR/s`,
		"make a second name of what it reads": `ln "$1/a.txt" $TMPDIR/a`,
	}
}

func TestTheFenceHolds(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	inspecttest.Must(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for what, script := range escapes(w, port) {
		if a, err := w.look(w.shell(script+" > /dev/null 2>&1 && "+saysClean), time.Minute); err == nil {
			t.Errorf("%s: it could: %+v", what, a)
		}
	}
	w.untouched()

	// The same, where the configuration lets it.
	c := w.shell(`cat ` + w.dir + `/secret > /dev/null && python3 -c 'import socket; socket.create_connection(("127.0.0.1", ` + strconv.Itoa(port) + `))' && ` + saysClean)
	c.Read, c.Network = []string{filepath.Join(w.dir, "secret")}, true
	if _, err := w.look(c, time.Minute); err != nil {
		t.Errorf("what it may: %v", err)
	}
	c = w.shell(`python3 -c 'import socket; socket.socket(socket.AF_UNIX)' && ` + saysClean)
	if c.Network = true; true {
		if _, err := w.look(c, time.Minute); err == nil {
			t.Error("with the network it opens a socket of this machine")
		}
	}
}

// The daemon is not root, as a rule: then a command runs as its user, and may do no more.
func TestTheFenceHoldsForWhoIsNotRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("run as root by the parent: this is not root, and TestTheFenceHolds has done it")
	}
	dir, err := os.MkdirTemp("", "not-root-")
	inspecttest.Must(t, err)
	defer os.RemoveAll(dir)
	inspecttest.Must(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "test")
	text, err := os.ReadFile("/proc/self/exe")
	inspecttest.Must(t, err)
	inspecttest.Must(t, os.WriteFile(program, text, 0o755))
	const bomb = "TestWhatACommandCannotDoIsNeverClean/a_fork_bomb"
	for user, args := range map[int][]string{ // the bomb takes all that its user may start
		64123: {"-test.run", "^(TestTheFenceHolds|TestACommandSaysWhatItFound|TestACommandIsNotToldWhereAFileStands|TestWhatACommandCannotDoIsNeverClean|TestACommandFillsNoDisk|TestNothingIsLeftOfACommand|TestACommandEndsWithWhoStartedIt)$", "-test.skip", bomb + "|(clean|answer|verdict|version|key|finding|null|words|list|nothing|flagged|sleeps|loop)"},
		64124: {"-test.run", bomb},
	} {
		tmp := filepath.Join(dir, strconv.Itoa(user))
		inspecttest.Must(t, os.Mkdir(tmp, 0o700))
		inspecttest.Must(t, os.Chown(tmp, user, user))
		c := exec.Command(program, append(args, "-test.count=1", "-test.v")...)
		c.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
		c.Dir = dir
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v:\n%s", err, out)
		}
	}
}

func TestManyFindingsAreCounted(t *testing.T) {
	var all []string
	for n := range 50 {
		all = append(all, fmt.Sprintf(`{"path": "p%d", "text": "t"}`, n))
	}
	a, err := parse([]byte(`{"verdict": "flagged", "version": "1", "findings": [` + strings.Join(all, ",") + `]}`))
	if err != nil || len(a.Findings)+a.More != 50 || len(a.Findings) != inspect.FindingsMost {
		t.Errorf("%d and %d more, %v", len(a.Findings), a.More, err)
	}
}
