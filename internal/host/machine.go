package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// Available is how much memory may be taken before the system has to swap or to kill, in bytes.
func Available() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("ask for free memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("ask for free memory: the system does not say")
}

// Governors lists what sets the processors' speed, each once: "performance", "powersave", "schedutil" ... None where the system does not set it, as in most virtual machines.
func Governors() (list []string) {
	files, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if name := strings.TrimSpace(string(text)); err == nil && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Synchronised says whether somebody keeps the clock right, as the kernel knows it: chrony, systemd-timesyncd ... tell it.
func Synchronised() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("ask for the clock's state: %w", err)
	}
	const notSynchronised = 5 // TIME_ERROR
	return state != notSynchronised && t.Status&unix.STA_UNSYNC == 0, nil
}

// Written measures how fast the disk of a directory takes content as it is staged, durable at the end, in bytes a second. It writes as many bytes as are asked for, a whole number of
// MiB, to one file that it removes, and stops early after a time.
func Written(dir string, bytes int64, most time.Duration) (rate float64, err error) {
	d := disk.New()
	f, err := d.CreateTemp(dir, "doctor-*.tmp")
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), d.Remove(f.Name())) }()
	const piece = 4 << 20
	content, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // it begins on a page
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(content)) }()
	for i := range content {
		content[i] = byte(i*i>>8 + i) // no disk makes nothing of it
	}
	began, at := time.Now(), int64(0)
	for at < bytes && time.Since(began) < most {
		n, err := f.WriteThrough(content[:min(piece, bytes-at)], at)
		if err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		at += int64(n)
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	return float64(at) / time.Since(began).Seconds(), nil
}

// Counters are what this machine has thrown away of what came, since it was started.
type Counters struct {
	// Interface counts packets that the interface, or its driver, had no room for.
	Interface uint64
	// Backlog counts packets that found the processors' queues full (net.core.netdev_max_backlog); Squeezed, how often there was more than was allowed in one turn
	// (net.core.netdev_budget).
	Backlog, Squeezed uint64
}

// Lost reads what was thrown away before any socket saw it, by this interface and by the processors' queues. What sockets threw away is package udp's to tell.
func (i *Interface) Lost() (c Counters, err error) {
	for _, name := range []string{"rx_dropped", "rx_missed_errors", "rx_fifo_errors", "rx_over_errors"} {
		text, err := os.ReadFile(filepath.Join("/sys/class/net", i.Name, "statistics", name))
		if err != nil {
			return c, fmt.Errorf("read the counters of %s: %w", i.Name, err)
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return c, fmt.Errorf("read the counters of %s: %w", i.Name, err)
		}
		c.Interface += n
	}
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return c, fmt.Errorf("read the counters of the processors' queues: %w", err)
	}
	c.Backlog, c.Squeezed, err = softnet(string(text))
	return c, err
}

// softnet adds up what /proc/net/softnet_stat says: a line for each processor, columns in hexadecimal, the second and third of which are these.
func softnet(text string) (backlog, squeezed uint64, err error) {
	for line := range strings.Lines(text) {
		var total, dropped, squeeze uint64
		if _, err := fmt.Sscanf(line, "%x %x %x", &total, &dropped, &squeeze); err != nil {
			return 0, 0, fmt.Errorf("read the counters of the processors' queues: %q", line)
		}
		backlog, squeezed = backlog+dropped, squeezed+squeeze
	}
	return backlog, squeezed, nil
}
