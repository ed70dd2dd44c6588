package lab

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// gib is a GiB in bits.
const gib = 8 << 30

// rates at which a link may be asked to go, the fastest first.
var fastRates = []string{"10Gbit", "9Gbit", "8Gbit", "7Gbit", "6500Mbit", "6Gbit", "5500Mbit", "5Gbit", "4500Mbit", "4Gbit", "3500Mbit", "3Gbit", "2500Mbit", "2Gbit", "1500Mbit", "1Gbit", "500Mbit"}

// clean is what a link states that loses nothing but what this host is too slow for.
const clean = "0.01%"

// calm is the burst that the links of the benchmark state: nothing on them is lost in a row, and what a longer one costs in parity and in delay is said by plan.
const calm = "1ms"

// gigabyte makes a GiB of random bytes, another one each time.
func (m *meter) gigabyte(path string, n int) { random(m.T, path, byte(n+1), 1<<30) }

func benchWire(m *meter) {
	for _, mtu := range []int{9000, 1500} {
		for _, offload := range []bool{true, false} {
			where := fmt.Sprintf("MTU %d", mtu)
			if !offload {
				where += ", cut on the wire"
			}
			ceiling := fmt.Sprintf("raw UDP, %s", where)
			m.add(figure{What: ceiling, Unit: "Gbit/s", Values: m.blast(mtu, offload)})
			best := "udpcast, " + where
			if offload {
				m.udpcast(mtu, best)
			}
			r := m.fastest(options{mtu: mtu, offload: offload, stated: clean}, m.inMemory, fastRates, 20*time.Second, m.gigabyte)
			f := figure{What: "Écluse, " + where, Unit: "Gbit/s", Values: per(gib/1e9, r.took), Note: "rate " + r.rate}
			switch {
			case offload && mtu == 9000:
				f.Must, f.Aim = want(6), want(8)
			case offload:
				f.Must, f.Aim = want(5.5), want(8)
			default:
				whole := min(m.value(ceiling), m.value(fmt.Sprintf("Écluse, MTU %d", mtu)))
				f.Must, f.Aim = want(0.6*whole), want(0.8*whole)
			}
			m.add(f)
			if offload {
				if other := m.value(best); other > 0 {
					must := map[int]float64{9000: 5, 1500: 4}[mtu]
					m.add(figure{What: "Écluse to udpcast, " + where, Unit: "times", Values: each(other, per(gib/1e9, r.took)), Must: &must})
				}
				m.add(figure{What: "processors to send, " + where, Unit: "s/GiB", Values: r.low, Must: want(1.6), Aim: want(1.1)})
				m.add(figure{What: "processors to receive, " + where, Unit: "s/GiB", Values: r.high, Must: want(1.6), Aim: want(1.1)})
			}
		}
	}
}

func benchDisk(m *meter) {
	var dd []float64
	for range m.repeat {
		dir := m.onDisk()
		began := time.Now()
		output(m.T, "dd", "if=/dev/zero", "of="+filepath.Join(dir, "file"), "bs=1M", "count=1024", "conv=fsync", "status=none")
		dd = append(dd, time.Since(began).Seconds())
		os.RemoveAll(dir)
	}
	m.add(figure{What: "dd bs=1M conv=fsync, 1 GiB", Unit: "Gbit/s", Values: per(gib/1e9, dd)})
	r := m.fastest(options{mtu: 9000, offload: true, stated: clean}, m.onDisk, fastRates, 30*time.Second, m.gigabyte)
	whole := m.value("dd bs=1M conv=fsync, 1 GiB")
	m.add(figure{What: "Écluse, 1 GiB on a disk", Unit: "Gbit/s", Values: per(gib/1e9, r.took), Must: want(0.9 * whole), Aim: want(2 * whole), Note: "rate " + r.rate})
}

func benchTree(m *meter) {
	files := 0
	r := m.fastest(options{mtu: 9000, offload: true, stated: clean}, m.onDisk, []string{"4Gbit", "2Gbit", "1Gbit", "500Mbit"}, 60*time.Second, func(path string, _ int) {
		source(m.T, path)
		files = countFiles(path)
	})
	m.add(figure{What: fmt.Sprintf("Go's source, %d files, on a disk", files), Unit: "files/s", Values: per(float64(files), r.took), Must: want(8000), Aim: want(20_000), Note: "rate " + r.rate})
}

func countFiles(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

// fits is how many GiB a file may have that is to stand on both sides of a disk, with a tenth left over.
func (m *meter) fits(dir string) int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		m.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize / 22 * 10 >> 30
}

// many drops so many items at once, and says how long it took until the last one had arrived.
func (c *course) many(count, size int, limit time.Duration) (time.Duration, bool) {
	var paths []string
	for range count {
		_, path := c.next()
		random(c.m.T, path, byte(c.sent), int64(size))
		paths = append(paths, path)
	}
	output(c.m.T, "sync")
	began := time.Now()
	for i, p := range paths {
		if len(c.tenants) == 0 {
			c.drop(p)
		} else {
			c.dropTo(c.tenants[i%len(c.tenants)], p)
		}
	}
	late := time.After(limit)
	for left := count; ; {
		select {
		case a := <-c.arrivals:
			if left--; left == 0 {
				return a.at.Sub(began), true
			}
		case <-late:
			return 0, false
		}
	}
}

func benchItems(m *meter) {
	const items = 10_000
	var took []float64
	for range m.repeat {
		c := m.course(options{mtu: 9000, offload: true, stated: clean, rate: "1Gbit", dir: m.onDisk()})
		if d, ok := c.many(items, 4<<10, 2*time.Minute); ok {
			took = append(took, d.Seconds())
		}
		c.end()
	}
	m.add(figure{What: "10,000 items of 4 KiB on a disk", Unit: "bundles/s", Values: per(items, took), Must: want(1000), Aim: want(3000)})
}

func benchText(m *meter) {
	tar := filepath.Join(m.inMemory(), "source.tar")
	m.sourceTar(tar, 1<<30)
	r := m.fastest(options{mtu: 9000, offload: true, stated: clean}, m.inMemory, []string{"1Gbit"}, time.Minute, func(path string, _ int) { copyOf(m.T, tar, path) })
	m.add(figure{What: "1 GiB of source code through 1 Gbit/s", Unit: "Gbit/s", Values: per(gib/1e9, r.took), Must: want(3), Aim: want(3.6)})
}

// sourceTar makes a tar of so many bytes of Go's source, again and again: no copy is near enough to another to be found.
func (m *meter) sourceTar(path string, size int64) {
	f, err := os.Create(path)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	goroot := strings.TrimSpace(output(m.T, "go", "env", "GOROOT"))
	for n := int64(0); n < size; {
		c := exec.Command("tar", "-C", goroot, "-c", "src")
		c.Stdout = f
		if err := c.Run(); err != nil {
			m.Fatal(err)
		}
		if n, err = f.Seek(0, 1); err != nil {
			m.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		m.Fatal(err)
	}
}

func benchLatency(m *meter) {
	const items = 40 // for each of the runs
	for _, where := range []struct {
		name string
		dir  func() string
	}{{"in memory", m.inMemory}, {"on a disk", m.onDisk}} {
		c := m.course(options{offload: true, dir: where.dir()})
		time.Sleep(2 * time.Second)
		var took []float64
		for range items * m.repeat {
			_, path := c.next()
			random(m.T, path, byte(c.sent), 1<<10)
			time.Sleep(50 * time.Millisecond)
			began := time.Now()
			c.drop(path)
			select {
			case a := <-c.arrivals:
				took = append(took, float64(a.at.Sub(began))/1e6)
			case <-time.After(10 * time.Second):
				m.Fatal("an item of 1 KiB does not arrive")
			}
		}
		c.end()
		m.percentile("1 KiB, "+where.name+", median", took, 50, 5, 2)
		m.percentile("1 KiB, "+where.name+", 99 of 100", took, 99, 25, 10)
	}
}

func benchLoss(m *meter) {
	for _, mtu := range []int{9000, 1500} {
		var clear float64
		for _, loss := range []string{"0", "1", "5"} {
			o := options{mtu: mtu, loss: loss, stated: max(loss, "0.01") + "%"}
			r := m.fastest(o, m.inMemory, fastRates, 30*time.Second, m.gigabyte)
			f := figure{What: fmt.Sprintf("%s %% loss, MTU %d, cut on the wire", loss, mtu), Unit: "Gbit/s", Values: per(gib/1e9, r.took), Note: "rate " + r.rate}
			if loss != "0" {
				f.Must, f.Aim = want(0.75*clear), want(0.85*clear)
			}
			if loss == "5" {
				f.Must = want(max(*f.Must, map[int]float64{9000: 2, 1500: 1.2}[mtu]))
			}
			m.add(f)
			if loss == "0" {
				clear = m.figures[len(m.figures)-1].Median
			}
		}
	}
}

func benchMemory(m *meter) {
	var low, high int64
	for _, rate := range fastRates {
		c := m.course(options{mtu: 9000, offload: true, stated: clean, rate: rate, dir: m.onDisk()})
		_, path := c.next()
		random(m.T, path, 77, 10<<30)
		x, ok := c.run(path, 3*time.Minute)
		low, high = c.low.peak(), c.high.peak()
		c.end()
		if ok {
			m.add(figure{What: "10 GiB on a disk", Unit: "Gbit/s", Values: per(10*gib/1e9, []float64{x.took.Seconds()}), Note: "rate " + rate})
			break
		}
		fmt.Printf("(%s is too fast for it)\n", rate)
	}
	m.add(figure{What: "memory of the sender, 10 GiB", Unit: "MiB", Values: []float64{float64(low >> 20)}, Must: want(300), Aim: want(220)})
	m.add(figure{What: "memory of the receiver, 10 GiB", Unit: "MiB", Values: []float64{float64(high >> 20)}, Must: want(300), Aim: want(220)})
}

// benchPacing counts what leaves the low side's interface while there is something to send.
func benchPacing(m *meter) {
	benchPaced(m, false)
	benchPaced(m, true)
}

// benchPaced measures what leaves beside the work of the other end, or without it.
func benchPaced(m *meter, alone bool) {
	beside := ""
	if alone {
		beside = ", the other end not at work"
	}
	for _, x := range []struct {
		rate string
		bits float64
		size int64
	}{{"1Mbit", 1e6, 8 << 20}, {"10Mbit", 1e7, 32 << 20}, {"100Mbit", 1e8, 256 << 20}, {"1Gbit", 1e9, 1 << 30}, {"5Gbit", 5e9, 4 << 30}} {
		c := m.course(options{mtu: 9000, offload: false, stated: clean, rate: x.rate, dir: m.inMemory()})
		_, path := c.next()
		random(m.T, path, 5, x.size)
		if alone {
			c.high.kill()
		}
		c.drop(path)
		time.Sleep(1500 * time.Millisecond)
		var shares []float64
		for range m.repeat {
			sent, began := c.counter("tx_bytes"), time.Now()
			time.Sleep(time.Second)
			shares = append(shares, 100*8*float64(c.counter("tx_bytes")-sent)/time.Since(began).Seconds()/x.bits)
		}
		c.end()
		m.add(figure{What: "of the rate asked, " + x.rate + beside, Unit: "%", Values: shares, Must: want(99), Aim: want(100), Note: "at most 101"})
	}
}

// counter is a counter of the low side's interface.
func (c *course) counter(name string) int64 {
	text := output(c.m.T, "ip", "netns", "exec", c.low.ns, "cat", "/sys/class/net/diode/statistics/"+name)
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		c.m.Fatal(err)
	}
	return n
}

// benchGrowth repeats one kind of work at sizes that grow, and gives what a unit of it costs.
func benchGrowth(m *meter) {
	fast := options{mtu: 9000, offload: true, stated: clean, rate: "2Gbit"}
	for _, size := range []int64{1, 10, 50} {
		o := fast
		o.dir = m.onDisk()
		if fits := m.fits(o.dir); fits < size { // both sides are on this one
			fmt.Printf("(for %d GiB on either side there is no room here: %d)\n", size, fits)
			size = fits
		}
		c := m.course(o)
		_, path := c.next()
		random(m.T, path, byte(size), size<<30)
		x, ok := c.run(path, 10*time.Minute)
		low, high := c.low.peak(), c.high.peak()
		c.end()
		if !ok {
			m.Errorf("%d GiB do not arrive at %s", size, o.rate)
			continue
		}
		m.add(figure{What: fmt.Sprintf("%d GiB at %s, on a disk", size, o.rate), Unit: "s/GiB", Values: []float64{x.took.Seconds() / float64(size)},
			Note: fmt.Sprintf("%d and %d MiB of memory, %.2f and %.2f s/GiB of processors", low>>20, high>>20, x.low.Seconds()/float64(size), x.high.Seconds()/float64(size))})
	}
	for _, files := range []int{1000, 10_000, 100_000} {
		o := fast
		o.dir = m.onDisk()
		c := m.course(o)
		_, path := c.next()
		many(m.T, path, files)
		x, ok := c.run(path, 5*time.Minute)
		c.end()
		if !ok {
			m.Errorf("%d files do not arrive", files)
			continue
		}
		m.add(figure{What: fmt.Sprintf("%d files in one bundle, on a disk", files), Unit: "files/s", Values: []float64{float64(files) / x.took.Seconds()}})
	}
	for _, items := range []int{10, 1000, 100_000} {
		o := fast
		o.dir = m.onDisk()
		c := m.course(o)
		d, ok := c.many(items, 100, 10*time.Minute)
		c.end()
		if !ok {
			m.Errorf("%d items do not arrive", items)
			continue
		}
		m.add(figure{What: fmt.Sprintf("%d items at once, on a disk", items), Unit: "bundles/s", Values: []float64{float64(items) / d.Seconds()}})
	}
	for _, tenants := range []int{1, 10, 100} {
		o := fast
		o.dir, o.tenants = m.onDisk(), tenants
		c := m.course(o)
		d, ok := c.many(3000, 4<<10, 5*time.Minute)
		c.end()
		if !ok {
			m.Errorf("items of %d tenants do not arrive", tenants)
			continue
		}
		m.add(figure{What: fmt.Sprintf("3,000 items of 4 KiB from %d tenants, on a disk", tenants), Unit: "bundles/s", Values: []float64{3000 / d.Seconds()}})
	}
}
