package disk

import (
	"time"

	"golang.org/x/sys/unix"
)

// A file is changed so often, in less time than the shortest step of coarse times, to see what becomes of its ctime. Where that takes longer nothing is known.
const (
	timeTrials = 16
	timeMost   = time.Millisecond
)

// FineTimes says whether, on the file system of a directory that may be written, and of which device, each change of a file that somebody has looked at since the last one gives it another ctime. So it is
// with multigrain timestamps (Linux 6.13; ext4, XFS, Btrfs, tmpfs); elsewhere changes of one step of the kernel's coarse clock look like one. It is tried out, once for each file
// system, on a file that has no name. Under a probe the answer is no.
func (d *Disk) FineTimes(dir string) (device uint64, fine bool) {
	if d.probe != nil {
		return 0, false
	}
	device, err := d.Device(dir)
	if err != nil {
		return 0, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fine, known := d.fine[device]
	if !known {
		fine = tryTimes(dir)
		d.fine[device] = fine
	}
	return device, fine
}

func tryTimes(dir string) bool {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var last unix.Timespec
	began := time.Now()
	for i := range timeTrials {
		var st unix.Stat_t
		if unix.Fchmod(fd, 0o600-0o200*uint32(i%2)) != nil || unix.Fstat(fd, &st) != nil || st.Ctim == last {
			return false
		}
		last = st.Ctim
	}
	return time.Since(began) < timeMost
}
