package command

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/internal/disk"
	"ecluse/internal/peers"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/deliver/remote/remotetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var must = peers.Must

// script makes a program of a shell's text.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "import")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	return path
}

func run(t *testing.T, text string, args ...string) (*Command, string) {
	t.Helper()
	out := t.TempDir()
	return New(Options{Argv: append([]string{script(t, text), out}, args...), Timeout: 10 * time.Second, Disk: disk.New()}), out
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	must(t, err)
	return string(text)
}

// The program gets the bundle's facts in its environment and on its standard input, the directory where it asks for it, and nothing of ours.
func TestAProgramIsToldWhatItIsToTake(t *testing.T) {
	t.Setenv("ECLUSE_SECRET", "not for it")
	t.Setenv("HOME", "/root")
	c, out := run(t, `env > "$1/env"; cat > "$1/in"; printf %s "$2" > "$1/dir"; printf '%s' "$3" > "$1/arg"; cat "$ECLUSE_DIR/$ECLUSE_NAME/a" > "$1/a"; test -f "$ECLUSE_MANIFEST" && test -f "$ECLUSE_SIGNATURE"`, DirArgument, `a b"; touch $(rm) {x`)
	must(t, c.Check(t.Context()))
	j := remotetest.Job(t, 1, map[string]string{"db/a": "alpha", "db/b": ""})
	j.Again = true
	name, err := c.Deliver(t.Context(), j)
	if err != nil || name != "db" {
		t.Fatalf("%q, %v", name, err)
	}
	if got := read(t, out, "a"); got != "alpha" {
		t.Errorf("it read %q", got)
	}
	if got := read(t, out, "dir"); got != filepath.Join(j.Dir, "files") {
		t.Errorf("{dir} is %q", got)
	}
	if got := read(t, out, "arg"); got != `a b"; touch $(rm) {x` {
		t.Errorf("its argument is %q", got)
	}
	var facts Facts
	must(t, json.Unmarshal([]byte(read(t, out, "in")), &facts))
	m := j.Signed.Manifest
	if want := c.facts(j); facts != want || facts.Bundle != m.Bundle || facts.Bytes != 5 || facts.Files != 2 || !facts.Again {
		t.Errorf("its input is %+v, want %+v", facts, want)
	}
	environment := "\n" + read(t, out, "env")
	for _, want := range []string{"ECLUSE_BUNDLE=" + m.Bundle.String(), "ECLUSE_TENANT=cssf", "ECLUSE_NAME=db", "ECLUSE_SEQUENCE=2", "ECLUSE_AGAIN=true", "ECLUSE_BYTES=5", "ECLUSE_DIGEST=" + j.Signed.Digest.String()} {
		if !strings.Contains(environment, "\n"+want+"\n") {
			t.Errorf("%s is not in its environment", want)
		}
	}
	if strings.Contains(environment, "SECRET") || strings.Contains(environment, "/root") {
		t.Errorf("its environment is %s", environment)
	}
}

// What a failure says is the last line, printable and short. The lane goes on: it is not the destination that is away.
func TestAFailureSaysTheLastLine(t *testing.T) {
	for text, want := range map[string]string{
		`echo first >&2; echo "no room" >&2; exit 3`:            "exit status 3: no room",
		`printf 'a\033[31mred\n' >&2; exit 1`:                   "exit status 1: a?[31mred",
		`printf '\377\376' >&2; exit 1`:                         "exit status 1: ?",
		`yes longer | head -c 3000000 | tr -d '\n' >&2; exit 1`: "longer",
		`exit 7`:                          "exit status 7",
		`kill -9 $$`:                      "signal: killed",
		`echo on standard output; exit 1`: "exit status 1",
		`i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1`: "exit status 1: line 2999",
	} {
		c, _ := run(t, text)
		_, err := c.Deliver(t.Context(), remotetest.Job(t, 1, map[string]string{"x": "y"}))
		peers.Says(t, err, want)
		if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonDestination || remote.IsAway(err) || len(err.Error()) > 600 {
			t.Errorf("%v", err)
		}
	}
	for _, path := range []string{"/nowhere/import", "/etc/passwd"} {
		c := New(Options{Argv: []string{path}, Timeout: time.Second, Disk: disk.New()})
		_, err := c.Deliver(t.Context(), remotetest.Job(t, 1, map[string]string{"x": "y"}))
		if !remote.IsAway(err) || c.Check(t.Context()) == nil {
			t.Errorf("%s: %v, and doctor says %v", path, err, c.Check(t.Context()))
		}
	}
}

// ended waits until a process is gone.
func ended(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d lives", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// A program that takes too long is ended with all that it has started, also one that does not want to; so is one whose daemon ends. One that ends well leaves nothing behind either.
func TestAProgramEndsWithAllThatItStarted(t *testing.T) {
	for name, row := range map[string]struct {
		text string
		stop bool
		says string
		most time.Duration
	}{
		"too long":            {`sleep 1000 & echo $! > "$1/pid"; wait`, false, "longer than 200ms", 2 * time.Second},
		"too long, and deaf":  {`trap '' TERM; sleep 1000 & echo $! > "$1/pid"; wait; wait; sleep 1000`, false, "longer than 200ms", grace + 2*time.Second},
		"the daemon ends":     {`sleep 1000 & echo $! > "$1/pid"; wait`, true, "canceled", 2 * time.Second},
		"it leaves somebody":  {`sleep 1000 >/dev/null 2>&1 & echo $! > "$1/pid"`, false, "", 2 * time.Second},
		"who keeps its voice": {`sleep 1000 & echo $! > "$1/pid"`, false, "", grace + 2*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, out := run(t, row.text)
			if row.says != "" {
				c.o.Timeout = 200 * time.Millisecond
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.stop {
				c.o.Timeout = time.Minute
				time.AfterFunc(200*time.Millisecond, cancel)
			}
			began := time.Now()
			_, err := c.Deliver(ctx, remotetest.Job(t, 1, map[string]string{"x": "y"}))
			if row.says == "" {
				must(t, err)
			} else {
				peers.Says(t, err, row.says)
				if remote.IsMaybe(err) != row.stop {
					t.Errorf("it may have done its work: %v", remote.IsMaybe(err))
				}
			}
			if took := time.Since(began); took > row.most {
				t.Errorf("it took %v", took)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(read(t, out, "pid")))
			must(t, err)
			ended(t, pid)
		})
	}
}

// What was altered in quarantine is not handed to a program.
func TestContentThatIsNotWhatWasSignedIsNotHandedOver(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, j remote.Job){
		"another byte": func(t *testing.T, j remote.Job) { remotetest.Change(t, j, "db/a", "alphA") },
		"a file more":  func(t *testing.T, j remote.Job) { remotetest.Change(t, j, "db/c", "c") },
		"a link": func(t *testing.T, j remote.Job) {
			must(t, os.Remove(filepath.Join(j.Dir, "files/db/a")))
			must(t, os.Symlink("/etc/passwd", filepath.Join(j.Dir, "files/db/a")))
		},
		"nothing": func(t *testing.T, j remote.Job) { must(t, os.RemoveAll(j.Dir)) },
	} {
		c, out := run(t, `touch "$1/ran"`)
		j := remotetest.Job(t, 1, map[string]string{"db/a": "alpha", "db/b": ""})
		change(t, j)
		_, err := c.Deliver(t.Context(), j)
		if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonContentMismatch {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(out, "ran")); err == nil {
			t.Errorf("%s: it was started", name)
		}
	}
}

func TestCommandLines(t *testing.T) {
	for _, argv := range [][]string{{"/bin/x"}, {"/bin/x", "{dir}", "-", "{a} b", "a{b}"}} {
		if err := CheckArguments(argv); err != nil {
			t.Errorf("%q: %v", argv, err)
		}
	}
	for _, argv := range [][]string{nil, {"x"}, {"./x"}, {"/bin/x", "{name}"}} {
		if CheckArguments(argv) == nil {
			t.Errorf("%q is taken", argv)
		}
	}
}
