package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/internal/fence"
	"ecluse/receiver/inspect"
)

// Command is a program that looks at items.
type Command struct {
	Self    []string // our own program, and what makes it call Confine with one more argument
	Command []string // the site's, by its absolute path, and its arguments
	Read    []string // what it may read beside the item and the system
	Network bool
	Scratch string // where it works while no item is at hand; it is made
}

const (
	answerMost = 1 << 20 // bytes of an answer
	talkMost   = 4 << 10 // of what it says beside
	roomToTry  = 16 << 20
)

// Ready implements inspect.Inspector: the program looks at an empty directory, and says its version.
func (c *Command) Ready(ctx context.Context) (inspect.Version, error) {
	if err := os.MkdirAll(c.Scratch, 0o700); err != nil {
		return inspect.Version{}, err
	}
	empty, err := os.MkdirTemp(c.Scratch, "empty-")
	if err != nil {
		return inspect.Version{}, err
	}
	defer func() { _ = disk.Clear(empty) }()
	answer, err := c.run(ctx, shown{empty, empty}, c.Scratch, roomToTry, math.MaxInt64) // nobody hostile has made what it looks at
	if err != nil {
		return inspect.Version{}, err
	}
	if len(answer.Findings) > 0 {
		return inspect.Version{}, &inspect.UntrustedError{Text: "it finds something in an empty directory: " + answer.Findings[0].Text}
	}
	return answer.Version, nil
}

// Look implements inspect.Inspector.
func (c *Command) Look(ctx context.Context, item inspect.Item) (*inspect.Answer, error) {
	what, err := show(item)
	if err != nil {
		return nil, err
	}
	answer, err := c.run(ctx, what, item.Scratch, item.Room, disksShare*item.Room+slack)
	if err = errors.Join(err, what.hide(item)); err != nil {
		return nil, err
	}
	err = fs.WalkDir(item.Files, item.Name, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			answer.Files++
		}
		return err
	})
	return answer, err
}

// shown is what a program is told to look at.
type shown struct {
	path string
	read string // what it may read
}

// show gives a file another name for a while, in a directory of its own beside the scratch directory: the path of one in quarantine says whose it is, which bundle, and where the state stands in it. A second
// name costs nothing but a copy where the file is delivered meanwhile, and cannot be written through: the fence lets that directory be read. Where the file system gives none, as between two of them, and for a directory, the path is the real one.
func show(item inspect.Item) (shown, error) {
	path := filepath.Join(item.Dir, item.Name)
	info, err := os.Lstat(path)
	if err != nil || !item.Ours || !info.Mode().IsRegular() {
		return shown{path, path}, err
	}
	dir, err := os.MkdirTemp(item.Scratch, "item-")
	if err != nil {
		return shown{}, err
	}
	second := filepath.Join(dir, item.Name)
	if os.Link(path, second) != nil {
		return shown{path, path}, os.Remove(dir)
	}
	return shown{second, dir}, nil
}

// hide takes the second name away. One that a crash leaves goes with the scratch directory, at the next start.
func (s *shown) hide(item inspect.Item) error {
	if s.path == s.read {
		return nil
	}
	return errors.Join(os.Remove(filepath.Join(s.read, item.Name)), os.Remove(s.read))
}

// run has the program look at one path. It may take room of the disk, and the disk may lose no more than most meanwhile.
func (c *Command) run(ctx context.Context, what shown, scratch string, room, most int64) (*inspect.Answer, error) {
	j := job{Command: c.Command, Item: what.path, See: what.read, Room: room, Read: c.Read, Network: c.Network, Parent: os.Getpid()}
	var err error
	if j.Scratch, err = os.MkdirTemp(scratch, "run-"); err != nil {
		return nil, err
	}
	defer func() { _ = disk.Clear(j.Scratch) }() // what stays is cleared at the next start
	if unix.Geteuid() == 0 {
		if j.User, err = nobody(j.Scratch); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	answer, talk := &fence.Output{Most: answerMost}, &fence.Output{Most: talkMost}
	cmd := exec.Command(c.Self[0], append(c.Self[1:len(c.Self):len(c.Self)], string(text))...)
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = answer, talk
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := guard(j.Scratch, room, most, end)
	err = group(ctx, cmd)
	stop()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("it ended: %w%s", err, talk.Said())
	case answer.Over():
		return nil, fmt.Errorf("it said more than %d bytes", answerMost)
	}
	a, err := parse(answer.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	return a, nil
}

// guardEvery is how often a scratch directory is looked through: what writes 2 GB/s takes 500 MB meanwhile. A file system of its own would be bounded at each write, but takes the right to mount, which the
// unit gives to nobody (RestrictNamespaces, no CAP_SYS_ADMIN), and memory, where there is room on the disk; and a fence that differs with who the daemon is would be tried in one of its forms only.
const guardEvery = 250 * time.Millisecond

// entriesMost bounds what may stand in a scratch directory, so that looking through it stays cheap.
const entriesMost = 50_000

// guard ends what takes more room than it may: a limit of the system is for each file, and there may be many. What has no name any more, and what stands where it lets nobody look, is seen by what is left of
// the disk: others fill that as well, so that tells only when most of what there was is gone.
func guard(dir string, room, most int64, end context.CancelCauseFunc) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	bytes, entries := left(dir)
	go func() {
		defer close(over)
		tick := time.NewTicker(guardEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			if bytes, entries := taken(dir); bytes > room || entries > entriesMost {
				end(fmt.Errorf("it took more of the disk than its %d bytes and %d names", room, entriesMost))
				return
			}
			if b, n := left(dir); bytes-b > most || entries-n > max(entriesMost, entries/4*3) {
				end(fmt.Errorf("the disk has lost %d bytes and %d names since it began: it may take %d bytes", bytes-b, entries-n, room))
				return
			}
		}
	}()
	return func() {
		close(done)
		<-over
	}
}

// disksShare is how many times the room of a command a disk may lose while it runs: a command is given at most a quarter of what is left above the reserve. slack is for a disk that is nearly full, where the room
// is next to nothing.
const (
	disksShare = 3
	slack      = 64 << 20
)

// left is what a directory's disk has left. A file system that does not say, of names, has none, and loses none.
func left(dir string) (bytes, entries int64) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Ffree)
}

// taken is what stands in a directory. What goes while it is looked through is not counted; what lies deeper than a path can say is too much.
func taken(dir string) (bytes, entries int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, unix.ENAMETOOLONG) {
			entries = entriesMost + 1
			return fs.SkipAll
		}
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		if entries++; entries > entriesMost {
			return fs.SkipAll
		}
		return nil
	})
	return bytes, entries
}

// group runs a command to its end, or to that of ctx. Whatever of its process group is left then ends as well: the group keeps its number until the command is waited for.
func group(ctx context.Context, cmd *exec.Cmd) error {
	runtime.LockOSThread() // the child ends with the thread that started it
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = unix.Kill(-pid, unix.SIGKILL)
		close(killed)
	})
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if !stop() {
		<-killed // before the number is given free
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	return cmd.Wait()
}

// Numbers that no user has, where there are so many, and one that nobody has anywhere.
const (
	strangers = 0x70000000
	lastUser  = 65534
)

// nobody gives a directory to a number that no user has.
func nobody(dir string) (id int, err error) {
	for _, id := range []int{strangers + rand.IntN(1<<24), lastUser} {
		if err = os.Chown(dir, id, id); err == nil {
			return id, nil
		}
	}
	return 0, err
}
