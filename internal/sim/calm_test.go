package sim

import (
	"bytes"
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// A process of Go does much by chance that a program does not see: which case of a select is taken of several that are ready, in what order a map is walked, which timers of one
// instant fire first. And it looks at the machine's clock: it takes the processor from a goroutine that is long in a system call, and hands a mutex on that was waited for too
// long. A run must depend on its seed alone. So its process has one processor and no collector, and before its first instruction it is changed in memory where nothing in it can
// do so: under ptrace, and then it is let go. The binary stays what everybody's is.
//
//	the 16 random bytes that the kernel hands to every new process: by them the runtime draws what its maps hash with    are made from the seed
//	runtime.pcvalue, which looks things up about code as stacks grow, and whose cache is filled by chance             leaves the chances of all others as they are
//	runtime.mrandinit, by which every thread's chances are drawn, in the order in which threads happen to be made        is left out: they are all the same
//	runtime.sysmon, the runtime's watchman, who takes processors away and locks for a moment what others want            sleeps for ever
//	internal/sync.runtime_nanotime, by which mutexes measure how long they were waited for                               stands still
//	sender/pack.(*tick).pass, by which the low side waits for the kernel's clock, which is none of the bubble's          does not wait: nothing is changed while it is read

// calmVariables are the settings that are left to be made by the environment.
func calmVariables() []string {
	return []string{"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=off", "GODEBUG=asyncpreemptoff=1,memprofilerate=0"}
}

// calmed are the functions whose code is another, and which.
var calmed = map[string]code{"runtime.mrandinit": give0, "runtime.sysmon": sleep, "internal/sync.runtime_nanotime": give1, "ecluse/sender/pack.(*tick).pass": give0}

// code is what a function does instead.
type code uint8

const (
	give0 code = iota // returns 0 at once
	give1             // returns 1 at once
	sleep             // sleeps for ever
)

// codes are the instructions, by architecture.
var codes = map[string][3][]byte{
	"amd64": {
		{0x31, 0xc0, 0xc3},                                     // xor eax, eax; ret
		{0xb8, 0x01, 0x00, 0x00, 0x00, 0xc3},                   // mov eax, 1; ret
		{0xb8, 0x22, 0x00, 0x00, 0x00, 0x0f, 0x05, 0xeb, 0xf7}, // mov eax, SYS_pause; syscall; jmp to the first
	},
	"arm64": {
		{0x00, 0x00, 0x80, 0xd2, 0xc0, 0x03, 0x5f, 0xd6}, // mov x0, 0; ret
		{0x20, 0x00, 0x80, 0xd2, 0xc0, 0x03, 0x5f, 0xd6}, // mov x0, 1; ret
		{ // mov x0, 0; ...; mov x4, 0; mov x8, SYS_ppoll; svc 0; b to the first
			0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2, 0x04, 0x00, 0x80, 0xd2,
			0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xf9, 0xff, 0xff, 0x17,
		},
	},
}

// drawing is the function whose chances are its own, and drawn the step by which the state of a thread's chances goes on with each draw (runtime.cheaprand, which is inlined): how often
// stacks grow depends on what else is on them, as on how much is traced.
const (
	drawing        = "runtime.pcvalue"
	drawn   uint64 = 0xa0761d6478bd642f
)

// calmedAt is what this binary, and each process of it, has to hold instead, by address.
var calmedAt = sync.OnceValues(func() (map[int64][]byte, error) {
	exe, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	if _, known := codes[runtime.GOARCH]; !known {
		return nil, fmt.Errorf("the instructions of %s are not known here", runtime.GOARCH)
	}
	if exe.Section(".interp") != nil {
		return nil, errors.New("the binary holds C's code, and its process begins otherwise: CGO_ENABLED=0 go test, as the Makefile has it")
	}
	lines, text := exe.Section(".gopclntab"), exe.Section(".text")
	if exe.Type != elf.ET_EXEC || lines == nil || text == nil {
		return nil, fmt.Errorf("functions cannot be found in a binary of type %v; build it with -buildmode=exe", exe.Type)
	}
	content, err := lines.Data()
	if err != nil {
		return nil, err
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(content, text.Addr))
	if err != nil {
		return nil, err
	}
	find := func(name string) (*gosym.Func, error) {
		if f := table.LookupFunc(name); f != nil {
			return f, nil
		}
		return nil, fmt.Errorf("there is no function %s any more: see what does its work now, and whether that is left to chance", name)
	}
	at := make(map[int64][]byte)
	for name, c := range calmed {
		f, err := find(name)
		if err != nil {
			return nil, err
		}
		at[int64(f.Entry)] = codes[runtime.GOARCH][c]
	}
	f, err := find(drawing)
	if err != nil {
		return nil, err
	}
	code := make([]byte, f.End-f.Entry)
	if _, err := text.ReadAt(code, int64(f.Entry-text.Addr)); err != nil {
		return nil, err
	}
	still := withoutStep(code)
	if bytes.Equal(still, code) {
		return nil, fmt.Errorf("%s does not draw as it did: see how it does now", drawing)
	}
	at[int64(f.Entry)] = still
	return at, nil
})

// withoutStep is code in which each step of a thread's chances is one of 0.
func withoutStep(code []byte) []byte {
	code = bytes.Clone(code)
	if runtime.GOARCH == "amd64" { // movabs $step, register
		return bytes.ReplaceAll(code, binary.LittleEndian.AppendUint64(nil, drawn), make([]byte, 8))
	}
	for i := 0; i+4 <= len(code); i += 4 { // movz and movk of each sixteen bits of it
		const movz, movk, register = 0xd2800000, 0xf2800000, 0x1f
		in := binary.LittleEndian.Uint32(code[i:])
		for part := range uint32(4) {
			immediate := uint32(drawn>>(16*part)) & 0xffff << 5
			if bare := in &^ register; bare == movz|part<<21|immediate || bare == movk|part<<21|immediate {
				binary.LittleEndian.PutUint32(code[i:], in&^(0xffff<<5))
			}
		}
	}
	return code
}

// calm sets right the process of a child, which has to have been started with Ptrace by this very thread, and lets it go. It is kept on one processor of the machine, and there its
// threads do not interrupt each other: while the runtime starts it makes a thread more or less by who is faster.
func calm(pid int, seed uint64, where int) error {
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil || !status.Stopped() {
		return fmt.Errorf("wait for its start: status %x, %w", status, err)
	}
	at, err := calmedAt()
	if err != nil {
		return err
	}
	chances, err := auxiliary(pid, 25) // AT_RANDOM
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(filepath.Join("/proc", strconv.Itoa(pid), "mem"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &cpus); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(pid, nth(&cpus, where)); err != nil {
		return err
	}
	if err := unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}, 0); err != nil {
		return err
	}
	r := source(seed, ofRuntime)
	_, err = mem.WriteAt(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, r.Uint64()|1), r.Uint64()|1), chances)
	for a, code := range at {
		_, failed := mem.WriteAt(code, a)
		err = errors.Join(err, failed)
	}
	return errors.Join(err, unix.PtraceDetach(pid))
}

// auxiliary gives one value of what the kernel tells a new process.
func auxiliary(pid int, key uint64) (int64, error) {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "auxv"))
	if err != nil {
		return 0, err
	}
	for ; len(content) >= 16; content = content[16:] {
		if binary.LittleEndian.Uint64(content) == key {
			return int64(binary.LittleEndian.Uint64(content[8:])), nil
		}
	}
	return 0, fmt.Errorf("the kernel told process %d nothing of key %d", pid, key)
}

// nth is one of some processors.
func nth(cpus *unix.CPUSet, n int) *unix.CPUSet {
	one := &unix.CPUSet{}
	n %= cpus.Count()
	for cpu := 0; one.Count() == 0; cpu++ {
		if cpus.IsSet(cpu) {
			if n == 0 {
				one.Set(cpu)
			}
			n--
		}
	}
	return one
}
