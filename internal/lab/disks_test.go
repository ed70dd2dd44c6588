package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ground makes a directory whose mounts end everywhere when they end here: other processes' mount namespaces (ip netns exec makes one each time) hold copies of them, and a
// file system that is still mounted somewhere is not replayed when it is mounted again.
func ground(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	must(t, unix.Mount("", dir, "", unix.MS_PRIVATE, ""))
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
}

// volume is a file system of its own, on a loop device over a sparse file, whose power can be cut.
type volume struct {
	t        *testing.T
	kind, at string
	loop     string
	mounted  bool
}

// volumeBytes is more than mkfs.xfs asks for.
const volumeBytes = 512 << 20

// makeVolume makes a file system, ext4 or xfs, and mounts it at a directory on a ground.
func makeVolume(t *testing.T, kind, image, at string) *volume {
	t.Helper()
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(volumeBytes))
	must(t, f.Close())
	switch kind {
	case "ext4":
		output(t, "mkfs.ext4", "-q", "-F", image)
	case "xfs":
		output(t, "mkfs.xfs", "-q", image)
	default:
		t.Fatalf("no file system is called %s here", kind)
	}
	v := &volume{t: t, kind: kind, at: at, loop: strings.TrimSpace(output(t, "losetup", "--find", "--show", image))}
	t.Cleanup(func() {
		if v.mounted {
			_ = unix.Unmount(v.at, unix.MNT_DETACH)
		}
		output(t, "losetup", "--detach", v.loop)
	})
	must(t, os.MkdirAll(at, 0o755))
	v.mount()
	return v
}

// mount mounts it, which replays its log.
func (v *volume) mount() {
	v.t.Helper()
	options := ""
	if v.kind == "ext4" {
		options = "noauto_da_alloc" // or ext4 makes content durable before a rename, for programs that forget to
	}
	if err := unix.Mount(v.loop, v.at, v.kind, 0, options); err != nil {
		v.t.Fatalf("mount %s at %s: %v", v.loop, v.at, err)
	}
	v.mounted = true
}

// How a file system is shut down: what was not durable may be kept whole, kept as far as the log goes, or not at all. Programs get EIO from then on.
const (
	cutSynced = iota
	cutLogged
	cutHard
)

// shutdown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN.
const shutdown = 0x8004587d

// cut takes the power away. Whoever uses it goes on and fails.
func (v *volume) cut(how int) {
	v.t.Helper()
	f, err := os.Open(v.at)
	must(v.t, err)
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, how); err != nil {
		v.t.Fatalf("cut the power of %s: %v", v.at, err)
	}
}

// off unmounts it, once nobody uses it any more, and sees that nobody else holds it mounted.
func (v *volume) off() {
	v.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Unmount(v.at, 0)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			v.t.Fatalf("umount %s: %v", v.at, err)
		}
	}
	v.mounted = false
	alive := filepath.Join("/sys/fs", v.kind, filepath.Base(v.loop))
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(alive); err != nil {
			return
		}
		if time.Now().After(end) {
			v.t.Fatalf("%s is mounted somewhere else: its log would not be replayed", v.loop)
		}
	}
}

// sync makes all that is on it durable.
func (v *volume) sync() {
	v.t.Helper()
	syncfs(v.t, v.at)
}

func syncfs(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, unix.Syncfs(int(f.Fd())))
}

// cage is a tmpfs whose size can be changed while it is used.
type cage struct {
	t  *testing.T
	at string
}

// makeCage mounts one on a ground.
func makeCage(t *testing.T, at string) *cage {
	t.Helper()
	must(t, os.MkdirAll(at, 0o755))
	must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=256m,mode=755"))
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	return &cage{t, at}
}

// used is what it holds now.
func (c *cage) used() (bytes, inodes int64) {
	c.t.Helper()
	var s unix.Statfs_t
	must(c.t, unix.Statfs(c.at, &s))
	return int64(s.Blocks-s.Bfree) * s.Bsize, int64(s.Files - s.Ffree)
}

// leave changes its size so that this much is free; -1 is plenty.
func (c *cage) leave(bytes, inodes int64) {
	c.t.Helper()
	for range 20 { // what is there may grow meanwhile
		b, n := c.used()
		size, count := int64(1)<<30, int64(1)<<20
		if bytes >= 0 {
			size = b + bytes
		}
		if inodes >= 0 {
			count = n + inodes
		}
		if unix.Mount("tmpfs", c.at, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d,nr_inodes=%d", size, count)) == nil {
			return
		}
	}
	c.t.Fatalf("%s does not take another size", c.at)
}
