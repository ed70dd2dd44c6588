package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// The people of these tests. Nobody has them in a file of users; the kernel knows numbers only.
const (
	daemonID   = 64101
	operatorID = 64102
	otherID    = 64103 // another operator of the same tenant
	groupID    = 64110 // the tenant's operators, and the daemon
)

// stepVariable makes the test binary do one step as the user that it was started as, instead of the tests: its words, separated by line feeds.
const stepVariable = "ECLUSE_OUTBOX_STEP"

// actor is a user, and what it may.
type actor struct {
	uid      uint32
	override bool // CAP_DAC_OVERRIDE, ambient, as systemd gives it
	umask    int
}

var (
	daemon   = actor{uid: daemonID, override: true, umask: 0o027}
	plain    = actor{uid: daemonID, umask: 0o027} // the daemon without the capability
	operator = actor{uid: operatorID, umask: 0o022}
	private  = actor{uid: operatorID, umask: 0o077}
	other    = actor{uid: otherID, umask: 0o022}
)

// stage is an outbox of the daemon's, and a place beside it for the operators' own things.
type stage struct {
	t                *testing.T
	exe, dir, beside string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs root, to become two users that are not")
		}
		t.Skip("SKIPPED: needs root, to become two users that are not: nothing is known of how rights keep them apart")
	}
	base, err := os.MkdirTemp("", "outbox-users-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(base)) })
	must(t, os.Chmod(base, 0o755))
	s := &stage{t: t, exe: filepath.Join(base, "test"), dir: filepath.Join(base, "outbox"), beside: filepath.Join(base, "home")}
	self, err := os.Executable()
	must(t, err)
	text, err := os.ReadFile(self)
	must(t, err)
	syscall.ForkLock.RLock()               // a process that is started meanwhile would hold the file open for writing, and nobody could run it
	err = os.WriteFile(s.exe, text, 0o755) // the one that runs stands where other users may not go
	syscall.ForkLock.RUnlock()
	must(t, err)
	must(t, os.Chmod(s.exe, 0o755))
	must(t, os.Mkdir(s.dir, 0o700))
	must(t, os.Chown(s.dir, daemonID, groupID))
	must(t, os.Mkdir(s.beside, 0o777))
	must(t, os.Chmod(s.beside, 0o777))
	s.does(plain, "open", "")
	info, err := os.Stat(s.dir)
	must(t, err)
	if got := info.Sys().(*syscall.Stat_t).Mode & 0o7777; got != 0o3770 {
		t.Fatalf("the outbox has mode %04o", got)
	}
	return s
}

// try has an actor do a step, and gives what it said.
func (s *stage) try(a actor, words ...string) (string, error) {
	c := exec.Command(s.exe)
	c.Dir = "/"
	// A race detector sleeps a second at the end of every process, to be heard.
	c.Env = []string{"GORACE=atexit_sleep_ms=0", stepVariable + "=" + strings.Join(append([]string{s.dir, s.beside, fmt.Sprint(a.umask)}, words...), "\n")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.uid, Groups: []uint32{groupID}}}
	if a.override {
		c.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_DAC_OVERRIDE}
	}
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *stage) does(a actor, words ...string) string {
	s.t.Helper()
	out, err := s.try(a, words...)
	if err != nil {
		s.t.Fatalf("uid %d, %q: %v: %s", a.uid, words, err, out)
	}
	return out
}

// cannot has an actor try a step that fails, and holds why.
func (s *stage) cannot(a actor, why error, words ...string) string {
	s.t.Helper()
	out, err := s.try(a, words...)
	if err == nil || !strings.Contains(out, why.Error()) {
		s.t.Fatalf("uid %d, %q: want %q, got %v: %s", a.uid, words, why, err, out)
	}
	return out
}

// runStep is the other side: it runs as the actor.
func runStep(text string) int {
	words := strings.Split(text, "\n")
	p := player{dir: words[0], beside: words[1]}
	var umask int
	if _, err := fmt.Sscan(words[2], &umask); err != nil {
		panic(err)
	}
	syscall.Umask(umask)
	if err := p.play(words[3], words[4]); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

type player struct{ dir, beside string }

func (p player) play(act, name string) error {
	switch act {
	case "drop file":
		return p.drop(name, func(path string) error { return os.WriteFile(path, []byte("content"), 0o666) })
	case "drop tree":
		return p.drop(name, func(path string) error {
			return errors.Join(os.MkdirAll(filepath.Join(path, "sub"), 0o777), os.WriteFile(filepath.Join(path, "sub/file"), []byte("content"), 0o666))
		})
	case "take back":
		return os.Rename(filepath.Join(p.dir, name), filepath.Join(p.beside, filepath.Base(name)+"-back"))
	case "read":
		return p.read(filepath.Join(p.dir, name))
	case "list":
		_, err := os.ReadDir(filepath.Join(p.dir, name))
		return err
	}
	b, err := Open(Options{Disk: disk.New(), Dir: p.dir, Tenant: "default", Settle: 100 * time.Millisecond, Blind: 200 * time.Millisecond, Rescan: time.Hour,
		Report: func(n Notice) {
			if n.Kind != NoticeNoLeases && n.Kind != NoticeRefused {
				fmt.Println("notice:", n.Kind, n.Name, n.Err)
			}
		}})
	if err != nil {
		return err
	}
	switch act {
	case "open":
		return nil
	case "offer":
		return p.offer(b, name)
	case "claim":
		item, err := b.Claim(Candidate{Name: name}, id(1))
		if err != nil {
			return err
		}
		return p.read(item.Path)
	case "sent":
		return p.putAway(b, func(item Item) error { return b.Sent(item, 7, time.Now()) })
	case "failed":
		return p.putAway(b, func(item Item) error { return b.Failed(item, "because") })
	case "purge":
		yes := func(Kept) bool { return true }
		return errors.Join(b.PurgeSent(time.Now().Add(time.Hour), yes), b.PurgeFailed(time.Now().Add(time.Hour), yes))
	}
	return fmt.Errorf("no such act %q", act)
}

func (p player) drop(name string, make func(path string) error) error {
	return errors.Join(make(filepath.Join(p.beside, name)), os.Rename(filepath.Join(p.beside, name), filepath.Join(p.dir, name)))
}

// read prints every file below a path.
func (p player) read(path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Println(string(text))
		return err
	})
}

func (p player) putAway(b *Outbox, act func(Item) error) error {
	items, err := b.Claimed()
	if err != nil || len(items) != 1 {
		return fmt.Errorf("%d items are claimed: %w", len(items), err)
	}
	return act(items[0])
}

// offer watches until the item is offered, or a reason stands beside it, which is printed.
func (p player) offer(b *Outbox, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	found, done := make(chan Candidate), make(chan struct{})
	go func() { b.Watch(ctx, found); close(done) }()
	defer func() { cancel(); <-done }()
	for {
		select {
		case c := <-found:
			if c.Name != name {
				return fmt.Errorf("%q was offered", c.Name)
			}
			return nil
		case <-time.After(20 * time.Millisecond):
			if text, err := os.ReadFile(b.path(reasonName(name))); err == nil {
				return fmt.Errorf("refused: %s", text)
			}
		case <-ctx.Done():
			return errors.New("neither offered nor refused")
		}
	}
}

// TestTheDaemonServesOperatorsOfAnyUmask goes the whole way: offer, claim, read, put away, purge.
func TestTheDaemonServesOperatorsOfAnyUmask(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, who := range []actor{operator, private} {
		for _, kind := range []string{"drop file", "drop tree"} {
			for _, end := range []string{"sent", "failed"} {
				what := fmt.Sprintf("%s, umask %03o, %s", kind, who.umask, end)
				s.does(who, kind, "item")
				s.does(daemon, "offer", "item")
				if got := s.does(daemon, "claim", "item"); got != "content" {
					t.Fatalf("%s: the daemon read %q", what, got)
				}
				s.cannot(who, unix.EACCES, "list", ".ecluse/sending")
				s.cannot(who, unix.EACCES, "take back", ".ecluse/sending/"+id(1).String()+"/item")
				if got := s.does(daemon, end, ""); got != "" {
					t.Fatalf("%s: %s", what, got)
				}
				if end == "failed" {
					for _, reader := range []actor{who, other} {
						if got := s.does(reader, "read", ".ecluse/failed/"+id(1).String()+"/REASON.txt"); !strings.Contains(got, "because") {
							t.Fatalf("%s: the reason is %q", what, got)
						}
					}
					s.does(who, "read", ".ecluse/failed/"+id(1).String()+"/item")
				} else {
					s.cannot(who, unix.EACCES, "list", ".ecluse/sent")
				}
				if got := s.does(daemon, "purge", ""); got != "" {
					t.Fatalf("%s: %s", what, got)
				}
				for _, place := range []string{sendingName, sentName, failedName} {
					if left, err := os.ReadDir(filepath.Join(s.dir, houseName, place)); err != nil || len(left) > 0 {
						t.Fatalf("%s: %v is left in %s, %v", what, left, place, err)
					}
				}
			}
		}
	}
}

func TestAnOperatorTakesBackHisOwn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, kind := range []string{"drop file", "drop tree"} {
		s.does(operator, kind, "item")
		s.does(daemon, "offer", "item")
		s.cannot(other, unix.EPERM, "take back", "item") // the sticky bit
		s.does(operator, "take back", "item")
		s.cannot(daemon, ErrGone, "claim", "item")
		if exists(filepath.Join(s.dir, reasonName("item"))) {
			t.Fatal("a reason stands beside nothing")
		}
		must(t, os.RemoveAll(filepath.Join(s.beside, "item-back")))
	}
	s.cannot(operator, unix.EPERM, "take back", ".ecluse")
}

// TestWithoutTheCapabilityAnItemStaysWithAReason shows what the capability is for, and that an operator can help himself without it.
func TestWithoutTheCapabilityAnItemStaysWithAReason(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, row := range map[string]struct {
		who  actor
		kind string
		at   string // where it ends: offer, claim; "" for nowhere
	}{
		"a file, umask 022": {operator, "drop file", ""},      // the outbox is the daemon's, and the file can be read
		"a tree, umask 022": {operator, "drop tree", "claim"}, // moving a directory elsewhere writes its ..
		"a file, umask 077": {private, "drop file", "offer"},
		"a tree, umask 077": {private, "drop tree", "offer"},
	} {
		s.does(row.who, row.kind, "item")
		if row.at == "offer" {
			s.cannot(plain, unix.EACCES, "offer", "item")
		} else {
			s.does(plain, "offer", "item")
		}
		if row.at == "" {
			s.does(plain, "claim", "item")
			s.does(plain, "sent", "")
			s.does(plain, "purge", "")
			continue
		}
		if row.at == "claim" {
			s.cannot(plain, unix.EACCES, "claim", "item")
		}
		for _, reader := range []actor{row.who, other} {
			if got := s.does(reader, "read", reasonName("item")); !strings.Contains(got, "CAP_DAC_OVERRIDE") || !strings.Contains(got, "chmod") {
				t.Fatalf("%s: the reason is %q", name, got)
			}
		}
		s.does(row.who, "read", "item")
		s.does(row.who, "take back", "item")
		must(t, os.RemoveAll(filepath.Join(s.beside, "item-back")))
		must(t, os.Remove(filepath.Join(s.dir, reasonName("item"))))
	}
}
