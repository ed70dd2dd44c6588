package fence

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// doors are calls that look into or signal other processes, change what the fence stands on, or are the doors of the kernel that an attacker tries first.
var doors = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP, unix.SYS_SETPGID, unix.SYS_SETSID,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_IO_URING_SETUP, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON,
}

// alone are the calls that who works alone is refused beside: whatever reaches others (sockets of every kind: landlock knows TCP only), starts programs, or signals other processes, and what changes
// files that may only be read: landlock does not know modes and times.
var alone = []uint32{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_PRLIMIT64, unix.SYS_SETRLIMIT, unix.SYS_PRCTL,
}

// signals are calls that signal.
var signals = []uint32{unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO}

// changes are calls that change what landlock does not know: owners, modes, times, attributes.
var changes = []uint32{
	unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_UTIMENSAT,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
}

// architectures are the numbers by which the kernel names what a call was made for: numbers of calls mean nothing without.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// x32 is the bit of calls of a third kind, which amd64 kernels may know: the same calls under other numbers.
const x32 = 0x40000000

// Where what the filter looks at stands in struct seccomp_data.
const (
	atNumber       = 0
	atArchitecture = 4
	atFirst        = 16 // the lower half of the first argument
)

var (
	no     = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	absent = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	yes    = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	dead   = bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
)

// filter is the program by which the kernel judges each call: those of the lists are refused, rest says more of others, and what neither knows passes.
func filter(rest []bpf.Instruction, lists ...[]uint32) ([]unix.SockFilter, error) {
	architecture, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("calls are not known on %s", runtime.GOARCH)
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: atArchitecture, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1}, dead,
		bpf.LoadAbsolute{Off: atNumber, Size: 4}, bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32, SkipTrue: 1}, dead,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1}, absent, // it hides what it makes, and clone does not
	}
	for _, list := range lists {
		for _, call := range list {
			program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, no)
		}
	}
	raw, err := bpf.Assemble(append(append(program, rest...), yes))
	if err != nil {
		return nil, err
	}
	converted := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		converted[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return converted, nil
}

// Alone has the kernel judge every call of every thread of the process from now on. Threads may be made, and processes not; the process may signal its own threads.
func Alone() error {
	program, err := filter([]bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE, SkipTrue: 3},
		bpf.LoadAbsolute{Off: atFirst, Size: 4}, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 5}, no,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_TGKILL, SkipTrue: 3}, // the runtime does
		bpf.LoadAbsolute{Off: atFirst, Size: 4}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(os.Getpid()), SkipTrue: 1}, no,
	}, doors, alone, changes, alsoDenied, alsoChanges)
	if err != nil {
		return err
	}
	return install(program, unix.SECCOMP_FILTER_FLAG_TSYNC)
}

// namespaces are what clone would make beside a process.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Rights are what a program of somebody else may do that another may not.
type Rights struct {
	Network bool // open sockets of the Internet. Others nobody may: what listens on this machine is not its business
	Changes bool // change owners, modes and times of what is its own: not where that is the daemon's too
	Signals bool // signal others, and change their limits, where their owner is its own
}

// Group has the kernel judge every call of the calling thread from now on, and of the program that it becomes: the caller holds the thread, and calls exec.
func Group(may Rights) error {
	var rest []bpf.Instruction
	on := func(call uint32, then ...bpf.Instruction) { // each of which ends with the number of the call gone: what follows loads it again
		rest = append(rest, bpf.LoadAbsolute{Off: atNumber, Size: 4}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: uint8(len(then))})
		rest = append(rest, then...)
	}
	first := bpf.LoadAbsolute{Off: atFirst, Size: 4}
	on(unix.SYS_CLONE, first, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: namespaces, SkipTrue: 1}, no)
	if may.Network {
		on(unix.SYS_SOCKET, first, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 2}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 1}, no)
	} else {
		on(unix.SYS_SOCKET, no)
	}
	lists := [][]uint32{doors}
	if !may.Changes {
		lists = append(lists, changes, alsoChanges)
	}
	if !may.Signals {
		lists = append(lists, signals)
		on(unix.SYS_PRLIMIT64, first, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1}, no) // its own, which every program asks for
	}
	program, err := filter(rest, lists...)
	if err != nil {
		return err
	}
	return install(program, 0)
}

// install gives up new rights and has the kernel run a program, for the calling thread or, with SECCOMP_FILTER_FLAG_TSYNC, for all.
func install(program []unix.SockFilter, flags uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil { // goes to all threads with the filter
		return fmt.Errorf("give up new rights: %w", err)
	}
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("refuse calls: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("refuse calls: thread %d could not be made to", thread)
	}
	return nil
}
