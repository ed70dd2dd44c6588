package deliver

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"ecluse/internal/disk"
)

// killed is what the hook panics with where a process would be killed: nothing after it runs but the closing of files, which a kill does as well.
type killed struct{}

// attempt delivers and is killed at the n-th step, from 0, or never if n is negative. It says whether it was killed.
func (p *place) attempt(o Options, n int) (dead bool, out Outcome, err error) {
	hook := func(string) {
		if n == 0 {
			panic(killed{})
		}
		n--
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			dead = true
		}
	}()
	o.hook, p.book.step = hook, hook
	out, err = p.deliver(o)
	return false, out, err
}

// situation is one way that a delivery goes.
type situation struct {
	name    string
	options Options
	items   func() []entry
	apart   bool
	early   bool
	before  []string // names at the destination: a directory's ends in a slash
	final   string
	keep    []string // which of before must be there afterwards
}

func situations() []situation {
	return []situation{
		{name: "a file, moved", items: file, final: "item"},
		{name: "a tree, moved", items: tree, final: "item"},
		{name: "a tree with closed modes, moved", items: closed, final: "item"},
		{name: "a file, prepared early", items: file, early: true, final: "item"},
		{name: "a tree, prepared early", items: changeableTree, early: true, final: "item"},
		{name: "a file, prepared early, its name taken", items: file, early: true, before: []string{"item"}, final: "item~7", keep: []string{"item"}},
		{name: "a tree, prepared early, replaces a tree", items: changeableTree, options: Options{Clash: Replace}, early: true, before: []string{"item/"}, final: "item"},
		{name: "a file, copied", items: file, options: Options{Keep: true}, final: "item"},
		{name: "a tree, copied", items: tree, options: Options{Keep: true}, final: "item"},
		{name: "a tree with closed modes, copied", items: closed, options: Options{Keep: true}, final: "item"},
		{name: "a tree, to another file system", items: tree, apart: true, final: "item"},
		{name: "a file, its name taken", items: file, before: []string{"item", "item~7/"}, final: "item~7~2", keep: []string{"item", "item~7"}},
		{name: "a tree, its name taken, copied", items: twig, options: Options{Keep: true}, before: []string{"item"}, final: "item~7", keep: []string{"item"}},
		{name: "a file replaces a file", items: file, options: Options{Clash: Replace}, before: []string{"item"}, final: "item"},
		{name: "a tree replaces a tree", items: twig, options: Options{Clash: Replace}, before: []string{"item/"}, final: "item"},
		{name: "a tree replaces a tree, copied", items: twig, options: Options{Clash: Replace, Keep: true}, before: []string{"item/"}, final: "item"},
		{name: "a file replaces a tree, copied", items: file, options: Options{Clash: Replace, Keep: true}, before: []string{"item/"}, final: "item"},
	}
}

func (s situation) set(t *testing.T, dir string) *place {
	to := dir
	if s.apart {
		to = scratch(t)
	}
	p := newPlace(t, dir, to, s.items())
	p.early = s.early
	for _, b := range s.before {
		if strings.HasSuffix(b, "/") {
			must(t, os.MkdirAll(filepath.Join(p.to, b, "old"), 0o700))
			must(t, os.Chmod(filepath.Join(p.to, b, "old"), 0))
			continue
		}
		must(t, os.WriteFile(filepath.Join(p.to, b), []byte("before"), 0o600))
	}
	return p
}

// whole says whether the item stands at the destination, and fails where it stands in part, or anything else does that must not.
func (p *place) whole(s situation, o Options, life string) bool {
	p.t.Helper()
	want := p.want(s.final, o)
	got := look(p.t, p.to)
	// The mode of a directory that its owner may not write to is set an instant after the rename.
	if is, w := got[s.final], want[s.final]; strings.HasPrefix(w, "dr-x") && is == "drwx"+w[4:] {
		got[s.final] = w
	}
	found := 0
	for name, is := range got {
		first, _, _ := strings.Cut(name, "/")
		switch {
		case want[name] == is:
			found++
		case first == temporary(p.job.Name, p.job.ID) || p.isOld(name, s):
		default:
			p.t.Errorf("%s: %q is there: %s", life, name, is)
		}
	}
	if found != 0 && found != len(want) {
		p.t.Errorf("%s: %d of %d are there: %v", life, found, len(want), got)
	}
	return found == len(want)
}

func (p *place) isOld(name string, s situation) bool {
	for _, b := range s.before {
		b = strings.TrimSuffix(b, "/")
		if name == b || name == b+"/old" {
			return true
		}
	}
	return false
}

// ends checks what must hold once a delivery has said that it is done.
func (p *place) ends(s situation, o Options, out Outcome, err error, taken bool, life string) {
	t := p.t
	t.Helper()
	if err != nil || out.Final != s.final || out.Taken != taken || out.Left != "" {
		t.Fatalf("%s: %+v, %v", life, out, err)
	}
	if p.whole(s, o, life) == taken {
		t.Fatalf("%s: taken %v, and there are %v", life, taken, top(t, p.to))
	}
	want := map[string]bool{}
	for _, k := range s.keep {
		want[k] = true
	}
	if !taken {
		want[s.final] = true
	}
	for _, name := range top(t, p.to) {
		if !want[name] {
			t.Fatalf("%s: %q is left over", life, name)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Fatalf("%s: %v is lost", life, want)
	}
}

// TestKilledBetweenAnyTwoStepsDeliversOnce kills an attempt at each step and the next one at each of its own, and has a consumer take what appears, or not.
func TestKilledBetweenAnyTwoStepsDeliversOnce(t *testing.T) {
	for _, s := range situations() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			base, lives := memory(t), 0
			twice := !s.apart && os.Getenv(plainRun) == "" // there every life costs real syncs; here it was done as root
			live := func(first, second int, consumer bool) [2]bool {
				dir := filepath.Join(base, fmt.Sprint(lives))
				must(t, os.Mkdir(dir, 0o755))
				defer func() { must(t, Purge(disk.New(), dir)) }()
				lives++
				return walk(t, s, dir, first, second, consumer, fmt.Sprintf("killed at %d, then %d, consumer %v", first, second, consumer))
			}
			for _, consumer := range []bool{false, true} {
				first := 0
				for live(first, -1, consumer)[0] {
					for second := 0; twice && live(first, second, consumer)[1]; second++ {
					}
					first++
				}
				if first < 8 {
					t.Fatalf("only %d steps", first)
				}
			}
			t.Logf("%d lives", lives)
		})
	}
}

func walk(t *testing.T, s situation, dir string, first, second int, consumer bool, life string) (died [2]bool) {
	t.Helper()
	p := s.set(t, dir)
	o := s.options
	o.Directory = p.to
	taken := false
	take := func() {
		there := p.whole(s, o, life)
		if there && taken {
			t.Fatalf("%s: delivered twice", life)
		}
		if there && consumer {
			root, err := disk.New().OpenRoot(p.to)
			must(t, err)
			must(t, discard(root, s.final))
			root.Close()
			taken = true
		}
	}
	dead, out, err := p.attempt(o, first)
	died[0] = dead
	if dead {
		take()
		dead, out, err = p.attempt(o, second)
		died[1] = dead
		if dead {
			take()
			dead, out, err = p.attempt(o, -1)
		}
	}
	if dead {
		t.Fatalf("%s: killed for ever", life)
	}
	p.ends(s, o, out, err, taken, life)
	if inside := top(t, filepath.Join(p.job.Dir, "files")); (len(inside) == 1) != out.Copied {
		t.Fatalf("%s: quarantine holds %v, and the outcome says copied %v", life, inside, out.Copied)
	}
	must(t, Purge(disk.New(), p.job.Dir))
	return died
}

const childEnv = "ECLUSE_TEST_CHILD"

// child is what the process that gets killed is told.
type child struct {
	Situation int
	Dir, To   string
	Step      int
}

// TestMain runs the tests, or is the process that a test kills.
func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		goleak.VerifyTestMain(m)
		return
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	t := &testing.T{}
	s := situations()[c.Situation]
	p := &place{t: t, to: c.To, items: s.items()}
	p.job = makeQuarantined(t, filepath.Join(c.Dir, "unused"), p.items)
	p.job.Dir = filepath.Join(c.Dir, "quarantine")
	p.book.path = filepath.Join(c.Dir, "book")
	o := s.options
	o.Directory = c.To
	o.hook = func(string) {
		if c.Step == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		c.Step--
	}
	p.book.step = o.hook
	if _, err := p.deliver(o); err != nil {
		panic(err)
	}
}

// TestKilledForGoodDeliversOnce is the same with a process and SIGKILL.
func TestKilledForGoodDeliversOnce(t *testing.T) {
	base := memory(t)
	for i, s := range situations() {
		if s.name != "a tree, moved" && s.name != "a tree replaces a tree, copied" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			for step := 0; ; step++ {
				dir := filepath.Join(base, fmt.Sprint(i, "-", step))
				must(t, os.Mkdir(dir, 0o755))
				p := s.set(t, dir)
				o := s.options
				o.Directory = p.to
				text, err := json.Marshal(child{Situation: i, Dir: dir, To: p.to, Step: step})
				must(t, err)
				cmd := exec.Command("/proc/self/exe")
				cmd.Env = append(os.Environ(), childEnv+"="+string(text))
				out, err := cmd.CombinedOutput()
				life := fmt.Sprintf("killed at %d", step)
				p.whole(s, o, life)
				dead, outcome, again := p.attempt(o, -1)
				if dead {
					t.Fatal("internal: killed")
				}
				p.ends(s, o, outcome, again, false, life)
				if err == nil {
					if step < 8 {
						t.Fatalf("only %d steps", step)
					}
					return
				}
				if state := cmd.ProcessState; state == nil || state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("%s: %v: %s", life, err, out)
				}
			}
		})
	}
}
