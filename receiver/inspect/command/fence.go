package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"ecluse/internal/fence"
)

// job is what a child is to become.
type job struct {
	Command []string `json:"command"`
	Item    string   `json:"item"` // what it is to look at
	See     string   `json:"see"`  // what it may read of that
	Scratch string   `json:"scratch"`
	Room    int64    `json:"room"` // bytes of one file that it writes
	Read    []string `json:"read"` // what else it may read, and start
	Network bool     `json:"network"`
	User    int      `json:"user"`   // that it becomes; 0: it stays who it is
	Parent  int      `json:"parent"` // with whom it ends
}

// Bounds of a program. The number of processes is that of its user: where it has one of its own, they are its own alone.
const (
	memoryMost       = 1 << 30 // bytes that one of its processes may write to
	filesMost        = 256     // open at once
	processesMost    = 64
	processesOfOwner = 384 // where its user is the daemon's: its threads count as well
)

// system is where programs and what they need stand.
var system = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"}

// systemFiles are what most programs read beside. Nothing of what is said of users or secrets is among them.
var systemFiles = []string{"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime", "/etc/mime.types", "/etc/magic", "/etc/alternatives", "/etc/ssl/openssl.cnf", "/etc/ssl/certs", "/etc/ca-certificates.conf"}

// networkFiles are what names are looked up by.
var networkFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/gai.conf", "/etc/host.conf"}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// Confine is the whole life of a child until it becomes the program: it reads one job, fences itself in, and calls exec. It returns only when that fails.
func Confine(text string, talk io.Writer) (code int) {
	runtime.LockOSThread() // what belongs to one thread goes to the program with it
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.confine()
	}
	fmt.Fprintf(talk, "fence: %v\n", err)
	return 1
}

func (j *job) confine() error {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // where memory ends, this ends first
	processes := uint64(processesOfOwner)
	if j.User > 0 {
		processes = processesMost
	}
	for _, l := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_DATA, memoryMost}, {unix.RLIMIT_NOFILE, filesMost}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_FSIZE, uint64(j.Room)},
		{unix.RLIMIT_NPROC, processes}, {unix.RLIMIT_MSGQUEUE, 0}, {unix.RLIMIT_NICE, 0},
	} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("set a limit: %w", err)
		}
	}
	version, err := fence.Landlock()
	if err != nil {
		return err
	}
	if version == 0 {
		return errors.New("the kernel has no landlock: a command cannot be kept from what it has no business with")
	}
	if err := j.restrict(); err != nil {
		return err
	}
	if err := fence.BecomeNobody(j.User); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil { // another user's process has none any more
		return fmt.Errorf("end with the daemon: %w", err)
	}
	if os.Getppid() != j.Parent {
		return errors.New("who started it has ended")
	}
	own := j.User > 0
	if err := fence.Group(fence.Rights{Network: j.Network, Changes: own, Signals: own || version >= fence.ScopedSignals}); err != nil {
		return err
	}
	environment := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + j.Scratch, "TMPDIR=" + j.Scratch}
	if err := os.Chdir(j.Scratch); err != nil {
		return err
	}
	return fmt.Errorf("start %s: %w", j.Command[0], syscall.Exec(j.Command[0], append(j.Command, j.Item), environment))
}

// restrict leaves of the file system what the program needs. What the item holds it may not start.
func (j *job) restrict() error {
	files := systemFiles
	if j.Network {
		files = append(slices.Clone(files), networkFiles...)
	}
	rules := []landlock.Rule{landlock.RWDirs(j.Scratch), landlock.RWFiles(devices...).IgnoreIfMissing()}
	rules = append(rules, reading(false, j.See)...)
	rules = append(rules, reading(false, files...)...)
	rules = append(rules, reading(true, append(append(slices.Clone(system), j.Command[0]), j.Read...)...)...)
	config := landlock.V6.BestEffort()
	if !j.Network {
		return config.Restrict(rules...)
	}
	return errors.Join(config.RestrictPaths(rules...), config.RestrictScoped())
}

// reading lets what is there be read, and started. A link is followed.
func reading(start bool, paths ...string) (rules []landlock.Rule) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			continue
		}
		access := landlock.AccessFSSet(ll.AccessFSReadFile)
		if start {
			access |= ll.AccessFSExecute
		}
		if info.IsDir() {
			access |= ll.AccessFSReadDir
		}
		rules = append(rules, landlock.PathAccess(access, p))
	}
	return rules
}
