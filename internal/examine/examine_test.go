package examine

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
)

// asChild makes the test's own program a child: as it is, or one that tries what it must not.
const asChild = "as-an-inspecting-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asChild {
		if os.Args[2] == "escape" {
			os.Exit(escape())
		}
		os.Exit(Child(os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func runner() *Runner { return &Runner{Command: Self(asChild, "honest"), Timeout: time.Minute} }

// job is an item with some files.
func job(t *testing.T, rules policy.Rules, files map[string]string) Job {
	t.Helper()
	dir := t.TempDir()
	root, scratch := filepath.Join(dir, "files"), filepath.Join(dir, "scratch")
	must(t, os.MkdirAll(scratch, 0o700))
	for name, content := range files {
		at := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(at), 0o700))
		must(t, os.WriteFile(at, []byte(content), 0o600))
	}
	if rules.Archives == (policy.Archives{}) {
		rules.Archives = policy.DefaultArchives
	}
	return Job{Root: root, Item: "item", Scratch: scratch, Room: 64 << 20, Rules: &rules}
}

func zipped(t *testing.T, name, content string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create(name)
	must(t, err)
	_, err = f.Write([]byte(content))
	must(t, err)
	must(t, w.Close())
	return out.String()
}

func TestAnItemIsHeldAgainstTheRules(t *testing.T) {
	j := job(t, policy.Rules{Names: policy.Lists{Deny: []string{"*.exe"}}, Text: []string{"secret"}, Files: 3, Size: 1 << 20},
		map[string]string{"item/a.txt": "words", "item/deep/b.exe": "x", "item/c.zip": zipped(t, "inner.txt", "a SECRET"), "item/d": "more"})
	r, err := runner().Run(context.Background(), j)
	must(t, err)
	want := []string{"policy-text item/c.zip!inner.txt", "policy-name item/deep/b.exe", string(bundle.ReasonPolicyCount) + " item"}
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprint(f.Reason, " ", f.Path))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || r.Files != 4 || r.More != 0 || !r.Fenced {
		t.Errorf("found %q of %d files, fenced %v, want %q", got, r.Files, r.Fenced, want)
	}
	if names, err := os.ReadDir(j.Scratch); err != nil || len(names) > 0 {
		t.Errorf("in the scratch directory stand %v, %v", names, err)
	}
}

func TestWhatIsTooLargeForMemoryGoesThroughTheScratchDirectory(t *testing.T) {
	large := strings.Repeat("a secret that is long\n", 1<<19)
	var stored bytes.Buffer
	w := zip.NewWriter(&stored)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "x.txt", Method: zip.Store})
	must(t, err)
	_, err = f.Write([]byte(large))
	must(t, err)
	must(t, w.Close())
	var outer bytes.Buffer
	w = zip.NewWriter(&outer)
	f, err = w.CreateHeader(&zip.FileHeader{Name: "inner.zip", Method: zip.Store})
	must(t, err)
	_, err = f.Write(stored.Bytes())
	must(t, err)
	must(t, w.Close())
	j := job(t, policy.Rules{Text: []string{"a secret"}}, map[string]string{"item": outer.String()})
	r, err := runner().Run(context.Background(), j)
	must(t, err)
	if len(r.Findings) != 1 || r.Findings[0].Reason != bundle.ReasonPolicyText || r.Findings[0].Path != "item!inner.zip!x.txt" {
		t.Errorf("found %v", r.Findings)
	}
	must(t, os.RemoveAll(j.Scratch))
	if _, err := runner().Run(context.Background(), j); err == nil {
		t.Error("without a place to work it was looked into all the same")
	}
}

// Whatever a child does but answer, nothing is known of the item.
func TestAChildThatDoesNotAnswerIsAnError(t *testing.T) {
	j := job(t, policy.Rules{}, map[string]string{"item": "x"})
	clean := `{"files":1,"bytes":1,"findings":null,"more":0,"fenced":true}`
	for name, x := range map[string]struct{ script, says string }{
		"it crashes":                      {"kill -SEGV $$", "segmentation"},
		"it fails":                        {"echo cannot >&2; exit 3", "cannot"},
		"it says clean, and fails":        {"echo '" + clean + "'; exit 1", "exit status 1"},
		"it says nothing":                 {"true", "EOF"},
		"it says something else":          {"echo CLEAN", "invalid"},
		"it says clean twice":             {"echo '" + clean + clean + "'", "more than an answer"},
		"it says what nobody asked":       {`echo '{"verdict":"clean"}'`, "unknown field"},
		"it talks for ever":               {"yes", ""},
		"it hangs":                        {"sleep 60", "longer than"},
		"it hangs, and does not want to":  {"trap '' TERM INT; while :; do sleep 1; done", "longer than"},
		"it leaves a child that holds on": {"sleep 60 & echo '" + clean + "'; exec sleep 60", "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Runner{Command: []string{"/bin/sh", "-c", x.script}, Timeout: 700 * time.Millisecond}
			began := time.Now()
			report, err := r.Run(context.Background(), j)
			if err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%+v, %v, want %q", report, err, x.says)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := (&Runner{Command: []string{"/bin/sleep", "60"}, Timeout: time.Minute}).Run(ctx, j); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	if _, err := (&Runner{Command: []string{"/not/there"}, Timeout: time.Minute}).Run(context.Background(), j); err == nil {
		t.Error("no program, and no error")
	}
}

func TestWhatIsNoFileIsAnError(t *testing.T) {
	j := job(t, policy.Rules{}, map[string]string{"item/a": "x"})
	must(t, os.Symlink("/etc/passwd", filepath.Join(j.Root, "item", "link")))
	if _, err := runner().Run(context.Background(), j); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("a link was looked at: %v", err)
	}
	j.Item = "not-there"
	if _, err := runner().Run(context.Background(), j); err == nil {
		t.Error("an item that is not there was looked at")
	}
}

// escape is a child that has been taken over: it tries what an attacker would, behind the fence, and tells what went through.
func escape() int {
	var j Job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return 2
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // before the fence
	if err != nil {
		return 2
	}
	fenced, err := fenceIn(j.Root, j.Scratch, 1<<20)
	if err != nil || !fenced {
		fmt.Fprintln(os.Stderr, "no fence:", err)
		return 2
	}
	for what, try := range map[string]func() error{
		"read /etc/passwd":     func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"list /":               func() error { _, err := os.ReadDir("/"); return err },
		"leave the root":       func() error { _, err := os.ReadFile(filepath.Join(j.Root, "../secret")); return err },
		"change the content":   func() error { return os.WriteFile(filepath.Join(j.Root, "item"), []byte("y"), 0o600) },
		"remove the content":   func() error { return os.Remove(filepath.Join(j.Root, "item")) },
		"write elsewhere":      func() error { return os.WriteFile("/tmp/escaped", nil, 0o600) },
		"start a program":      func() error { return exec.Command("/bin/true").Run() },
		"connect":              func() error { _, err := net.Dial("tcp", listener.Addr().String()); return err },
		"listen":               func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
		"kill its parent":      func() error { p, _ := os.FindProcess(os.Getppid()); return p.Signal(os.Interrupt) },
		"give itself away":     func() error { return os.Chown(filepath.Join(j.Scratch, "x"), 1, 1) },
		"take gigabytes":       func() error { return gigabytes() },
		"open a secret to all": func() error { return os.Chmod(filepath.Join(j.Root, "../secret"), 0o666) },
		"change a time":        func() error { return os.Chtimes(filepath.Join(j.Root, "../secret"), time.Now(), time.Now()) },
		"mark a file":          func() error { return unix.Setxattr(filepath.Join(j.Root, "../secret"), "user.x", []byte("y"), 0) },
		"limit its parent":     func() error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_CORE, &unix.Rlimit{}, nil) },
		"signal its parent":    func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), unix.SIGURG) },
		"outlive its parent":   func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) },
		"fill the disk": func() error {
			at := filepath.Join(j.Scratch, "large")
			if err := os.WriteFile(at, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(at, 1<<30)
		},
		"a socket of the daemon": func() error { _, err := net.Dial("unix", filepath.Join(j.Root, "../control.sock")); return err },
	} {
		if err := try(); err == nil {
			fmt.Println("went through:", what)
		}
	}
	if err := os.WriteFile(filepath.Join(j.Scratch, "mine"), nil, 0o600); err != nil {
		fmt.Println("cannot work:", err)
	}
	if _, err := os.ReadFile(filepath.Join(j.Root, "item")); err != nil {
		fmt.Println("cannot look:", err)
	}
	return 0
}

// gigabytes says whether more than a child's memory can be had: memory that the runtime is refused ends it, so another way is taken.
func gigabytes() error {
	_, err := mapped(memoryMost + 1)
	return err
}

func TestAChildThatWasTakenOverCanDoLittle(t *testing.T) {
	j := job(t, policy.Rules{}, map[string]string{"item": "x"})
	must(t, os.WriteFile(filepath.Join(j.Root, "../secret"), []byte("s"), 0o600))
	l, err := net.Listen("unix", filepath.Join(j.Root, "../control.sock"))
	must(t, err)
	defer l.Close()
	question, err := json.Marshal(j)
	must(t, err)
	c := exec.Command("/proc/self/exe", asChild, "escape")
	c.Stdin = bytes.NewReader(question)
	out, err := c.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
