package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Page is what direct writes go by: where content lies in memory and where it goes in the file have to be equal modulo it.
	Page = 4096
	// directLeast is the least for which going past the page cache pays: below it the disk waits for its next command longer than a copy takes.
	directLeast = 1 << 20
)

// direct is a second descriptor of a file, by which it is written past the page cache.
type direct struct {
	once sync.Once
	file *os.File // nil where the file system does not offer it
}

// WriteThrough is WriteAt past the page cache, as far as whole pages of b lie in memory as they will in the file (Page): the disk takes them from where they are, nothing is copied,
// and nothing is left for a later sync to write out in one burst. What is not such, at both ends, is written as usual; and all of it where the file system offers nothing else. It is
// no more durable than any write before a sync.
//
//	b:      |head|======= pages =======|tail|
//	file: --|----|---------------------|----|--
//	             ^ a multiple of Page  ^
func (f *File) WriteThrough(b []byte, at int64) (n int, err error) {
	head := int(-at & (Page - 1))
	pages := (len(b) - head) &^ (Page - 1)
	if len(b) < directLeast {
		return f.WriteAt(b, at)
	}
	var past *File
	if pages >= directLeast && addressOf(b[head:])%Page == 0 {
		past = f.past()
	}
	if past == nil {
		return f.cached(b, at)
	}
	_, err = past.WriteAt(b[head:head+pages], at+int64(head))
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return 0, err
	}
	if err != nil { // it said that it would take it: then the usual way
		return f.cached(b, at)
	}
	for _, end := range [][2]int{{0, head}, {head + pages, len(b)}} {
		if end[0] < end[1] {
			if _, err := f.WriteAt(b[end[0]:end[1]], at+int64(end[0])); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

// cached is WriteAt for much at once, one at a time: the kernel has one lock for all that is written to a file by way of its cache, and who waits for it there spins.
func (f *File) cached(b []byte, at int64) (int, error) {
	f.writes.Lock()
	defer f.writes.Unlock()
	return f.WriteAt(b, at)
}

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

// past gives the file as it is written past the page cache, or nil where that is not offered.
func (f *File) past() *File {
	f.direct.once.Do(func() {
		var st unix.Statx_t
		if unix.Statx(f.Fd(), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st) != nil || st.Mask&unix.STATX_DIOALIGN == 0 ||
			st.Dio_offset_align == 0 || st.Dio_offset_align > Page || st.Dio_mem_align > Page {
			return
		}
		f.direct.file, _ = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|unix.O_DIRECT, 0) // without it all goes the usual way
	})
	if f.direct.file == nil {
		return nil
	}
	return &File{f: f.direct.file, d: f.d}
}

// Direct tells whether a file below a directory would be written past the page cache.
func (d *Disk) Direct(dir string) bool {
	f, err := os.CreateTemp(dir, "direct-*"+temporary)
	if err != nil {
		return false
	}
	probe := &File{f: f, d: d}
	defer probe.Close()
	defer os.Remove(f.Name())
	return probe.past() != nil
}
