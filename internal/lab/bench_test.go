package lab

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The benchmark of the built programs, and of others on the same link in the same run: make bench. Content is timed from the rename into the outbox until it stands under its final
// name in the import directory, verified; what arrived is then compared.

const (
	benchVariable       = "ECLUSE_BENCH"        // all, or names of cases with commas between
	benchRepeatVariable = "ECLUSE_BENCH_REPEAT" // 5 unless told
	benchOutVariable    = "ECLUSE_BENCH_OUT"    // the JSON lines go there
)

// benchCase is a part of the benchmark.
type benchCase struct {
	name string
	of   string
	run  func(*meter)
}

var benchCases = []benchCase{
	{"wire", "1 GiB random in memory, at both MTUs, with and without segmentation offload, beside what UDP and udpcast reach", benchWire},
	{"disk", "1 GiB random on a disk, durable, beside dd", benchDisk},
	{"tree", "Go's source as one bundle on a disk, durable", benchTree},
	{"items", "10,000 items of 4 KiB on a disk, durable", benchItems},
	{"text", "1 GiB of source code through 1 Gbit/s", benchText},
	{"latency", "1 KiB on an idle link", benchLatency},
	{"loss", "1 GiB random in memory at 1 and 5 % loss", benchLoss},
	{"memory", "10 GiB on a disk at the highest rate", benchMemory},
	{"pacing", "what leaves at rates from 1 Mbit/s to 5 Gbit/s", benchPacing},
	{"growth", "how cost grows with bytes, files, waiting items and tenants", benchGrowth},
}

func TestBench(t *testing.T) {
	wanted := os.Getenv(benchVariable)
	if wanted == "" {
		t.Skipf("it is for make bench: %s names what to measure", benchVariable)
	}
	need(t)
	m := newMeter(t)
	defer m.out.Close()
	for _, c := range benchCases {
		if wanted == "all" || slices.Contains(strings.Split(wanted, ","), c.name) {
			fmt.Printf("\n### %s: %s\n\n", c.name, c.of)
			c.run(m)
		}
	}
	m.table()
}

// meter collects figures.
type meter struct {
	*testing.T
	repeat  int
	out     *os.File
	figures []figure
}

// figure is one line of the table.
type figure struct {
	What    string    `json:"what"`
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"`
	Median  float64   `json:"median"`
	Least   float64   `json:"min"`
	Most    float64   `json:"max"`
	Must    *float64  `json:"must"`
	Aim     *float64  `json:"aim"`
	Note    string    `json:"note"`
	Machine string    `json:"machine"`
}

func newMeter(t *testing.T) *meter {
	m := &meter{T: t, repeat: 5}
	if text := os.Getenv(benchRepeatVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is no count", benchRepeatVariable, text)
		}
		m.repeat = n
	}
	path := os.Getenv(benchOutVariable)
	if path == "" {
		path = os.DevNull
	}
	var err error
	if m.out, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s, programs %s, %d runs each; links state bursts of %s\n", machine(), version(t), m.repeat, calm)
	return m
}

// machine says what this was measured on.
var machine = func() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
				model = strings.TrimSpace(name)
				break
			}
		}
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	var s unix.Sysinfo_t
	_ = unix.Sysinfo(&s)
	return fmt.Sprintf("%d x %s, %d GiB, Linux %s, %s", runtime.NumCPU(), model, (s.Totalram*uint64(s.Unit)+1<<29)>>30, unix.ByteSliceToString(u.Release[:]), runtime.Version())
}

func version(t *testing.T) string {
	return strings.TrimSpace(output(t, filepath.Join(programs, "ecluse-sender"), "version"))
}

// add takes a figure, and prints it.
func (m *meter) add(f figure) {
	if len(f.Values) == 0 {
		f.Note = strings.TrimSpace("no run succeeded " + f.Note)
	} else {
		sorted := slices.Sorted(slices.Values(f.Values))
		f.Least, f.Median, f.Most = sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]
	}
	f.Machine = machine()
	m.figures = append(m.figures, f)
	line, err := json.Marshal(f)
	if err != nil {
		m.Fatal(err)
	}
	if _, err := m.out.Write(append(line, '\n')); err != nil {
		m.Fatal(err)
	}
	fmt.Println(f.row())
}

// value is a figure's median so far, by its name; 0 where there is none.
func (m *meter) value(what string) float64 {
	for _, f := range m.figures {
		if f.What == what {
			return f.Median
		}
	}
	return 0
}

func (f figure) row() string {
	target := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', 4, 64)
	}
	if len(f.Values) == 0 {
		return fmt.Sprintf("| %s | %s | - | - | - | %s | %s | %s |", f.What, f.Unit, target(f.Must), target(f.Aim), f.Note)
	}
	return fmt.Sprintf("| %s | %s | %.4g | %.4g | %.4g | %s | %s | %s |", f.What, f.Unit, f.Median, f.Least, f.Most, target(f.Must), target(f.Aim), f.Note)
}

func (m *meter) table() {
	fmt.Printf("\n| what | unit | median | min | max | must | aim | note |\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range m.figures {
		fmt.Println(f.row())
	}
}

func want(v float64) *float64 { return &v }

// onDisk and inMemory are where sides may stand.
func (m *meter) onDisk() string {
	dir, err := os.MkdirTemp(os.Getenv("ECLUSE_BENCH_DISK"), "ecluse-bench-")
	return m.place(dir, err)
}

func (m *meter) inMemory() string {
	dir, err := os.MkdirTemp("/dev/shm", "ecluse-bench-")
	return m.place(dir, err)
}

func (m *meter) place(dir string, err error) string {
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// course is a lab on which content is timed.
type course struct {
	*lab
	m        *meter
	arrivals chan arrival
	watch    *os.File
	sent     int
}

// arrival is a name that came into the import directory.
type arrival struct {
	name string
	at   time.Time
}

// course makes a lab and starts both sides.
func (m *meter) course(o options) *course {
	o.release = "automatic"
	if o.burst == "" {
		o.burst = calm
	}
	c := &course{lab: up(m.T, o), m: m, arrivals: make(chan arrival, 1<<17)}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		m.Fatal(err)
	}
	for _, t := range append([]string{"default"}, c.tenants...) {
		if _, err := unix.InotifyAddWatch(fd, filepath.Join(c.high.dir, "import", t), unix.IN_MOVED_TO); err != nil {
			m.Fatal(err)
		}
	}
	c.watch = os.NewFile(uintptr(fd), "inotify")
	go c.follow()
	c.startBoth()
	return c
}

// end takes it down, with all that it holds.
func (c *course) end() {
	c.watch.Close()
	c.down()
	if err := os.RemoveAll(c.dir); err != nil {
		c.m.Fatal(err)
	}
}

func (c *course) follow() {
	b := make([]byte, 1<<16)
	for {
		n, err := c.watch.Read(b)
		if err != nil {
			return
		}
		now := time.Now()
		for rest := b[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			length := int(binary.NativeEndian.Uint32(rest[12:]))
			name := rest[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+length]
			c.arrivals <- arrival{string(bytes.TrimRight(name, "\x00")), now}
			rest = rest[unix.SizeofInotifyEvent+length:]
		}
	}
}

// next names the next item, and says where to make it.
func (c *course) next() (name, path string) {
	c.sent++
	name = fmt.Sprintf("item-%d", c.sent)
	return name, filepath.Join(c.work(), name)
}

// run drops what was made, and says how long it took to arrive and what it cost; ok is false where it did not.
func (c *course) run(path string, limit time.Duration) (r result, ok bool) {
	unix.Sync() // what was made before is not to be written out meanwhile
	c.m.warm()
	lowCPU, highCPU := c.low.cpu(), c.high.cpu()
	began := time.Now()
	c.drop(path)
	late := time.NewTimer(limit)
	defer late.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case a := <-c.arrivals:
			if a.name != filepath.Base(path) {
				continue
			}
			r = result{took: a.at.Sub(began)}
			time.Sleep(50 * time.Millisecond) // what is left to be done for it costs too
			r.low, r.high = c.low.cpu()-lowCPU, c.high.cpu()-highCPU
			return r, true
		case <-look.C:
			if x := c.high.find(filepath.Base(path)); x != nil && (x.State == "damaged" || x.State == "refused") {
				return r, false
			}
		case <-late.C:
			return r, false
		}
	}
}

// warmed is as much memory as a run of a GiB takes on both sides, with some left over.
const warmed = 3 << 30

// warm touches free memory. A virtual machine may have given it back to its host, which hands it out again page by page at a tenth of the speed of memory that is there: then a
// benchmark would measure the host. It holds for a second or two, so it comes right before a run, also before those of other tools.
func (m *meter) warm() {
	area, err := unix.Mmap(-1, 0, warmed, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err == nil {
		err = unix.Munmap(area)
	}
	if err != nil {
		m.Fatalf("touch memory: %v", err)
	}
}

// result is one run.
type result struct{ took, low, high time.Duration }

// cpu is the time of processors that a daemon has used.
func (s *side) cpu() time.Duration {
	s.lab.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.daemon.Process.Pid))
	if err != nil {
		s.lab.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / 100
}

// compare holds that what arrived is what was sent, and removes both.
func (c *course) compare(name string) {
	c.m.Helper()
	kept, err := filepath.Glob(filepath.Join(c.outbox(), ".ecluse/sent/*", name))
	if err != nil || len(kept) != 1 {
		c.m.Fatalf("%s was put away %d times: %v", name, len(kept), err)
	}
	if out, err := exec.Command("diff", "-r", "-q", kept[0], filepath.Join(c.imports(), name)).CombinedOutput(); err != nil {
		c.m.Fatalf("%s did not arrive as it was sent: %s", name, out)
	}
	for _, p := range []string{kept[0], filepath.Join(c.imports(), name)} {
		if err := os.RemoveAll(p); err != nil {
			c.m.Fatal(err)
		}
	}
}

// ran is a number of runs of one kind.
type ran struct {
	rate      string
	took      []float64 // seconds
	low, high []float64 // seconds of processors
}

// per divides an amount by each time.
func per(amount float64, seconds []float64) (list []float64) {
	for _, s := range seconds {
		list = append(list, amount/s)
	}
	return list
}

func each(amount float64, values []float64) (list []float64) {
	for _, v := range values {
		list = append(list, v/amount)
	}
	return list
}

// repeatAt makes runs on one course; ok is false when one did not arrive.
func (m *meter) repeatAt(o options, times int, limit time.Duration, make func(path string, n int)) (r ran, ok bool) {
	c := m.course(o)
	defer c.end()
	r.rate = o.rate
	for n := range times {
		name, path := c.next()
		make(path, n)
		x, ok := c.run(path, limit)
		if !ok {
			return r, false
		}
		c.compare(name)
		r.took = append(r.took, x.took.Seconds())
		r.low, r.high = append(r.low, x.low.Seconds()), append(r.high, x.high.Seconds())
	}
	return r, true
}

// fastest makes runs at the first rate of a list at which all arrive.
func (m *meter) fastest(o options, in func() string, rates []string, limit time.Duration, make func(path string, n int)) ran {
	for _, rate := range rates {
		o.rate, o.dir = rate, in()
		if r, ok := m.repeatAt(o, m.repeat, limit, make); ok {
			return r
		}
		fmt.Printf("(%s is too fast for it)\n", rate)
	}
	return ran{}
}

// copyOf copies a file within a file system.
func copyOf(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
