package diskfault

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// file is the content of a file that is not durable.
type file struct {
	base   []byte // as it is durable
	writes []write
}

// write is one change of content, in order.
type write struct {
	at   int64
	data []byte
	cut  int  // not 0: it sets the size to at, as the change of that number
	sure bool // durable; it stands here because of one before it that is not
	gone bool // its sync has failed: nothing makes it durable any more
}

// begin notes a file whose content is durable as given.
func (s *system) begin(inode uint64, base []byte) {
	if s.files[inode] == nil {
		s.order = append(s.order, inode)
	}
	s.files[inode] = &file{base: base}
}

// hold reads what a file holds before it is changed for the first time since it was durable.
func (s *system) hold(path string, fd int, st *unix.Stat_t) error {
	if s.files[st.Ino] != nil {
		return nil
	}
	if fd >= 0 { // which may be open for writing only
		path = "/proc/self/fd/" + strconv.Itoa(fd)
	}
	base, err := os.ReadFile(path)
	if err != nil {
		return &brokenError{err}
	}
	s.begin(st.Ino, base)
	return nil
}

// clean forgets a file whose content is durable.
func (s *system) clean(inode uint64) {
	if s.files[inode] != nil {
		delete(s.files, inode)
		s.order = slices.DeleteFunc(s.order, func(i uint64) bool { return i == inode })
	}
}

// tidy forgets a file of which nothing is open any more.
func (s *system) tidy(inode uint64) {
	if f := s.files[inode]; f != nil && !slices.ContainsFunc(f.writes, func(w write) bool { return !w.sure }) {
		s.clean(inode)
	}
}

// settle makes durable what was written to a file, but for what has been given up.
func (f *file) settle() {
	for i := range f.writes {
		w := &f.writes[i]
		w.sure = w.sure || !w.gone && w.cut == 0
	}
}

// fail notes that a sync has failed: what was to become durable by it never will.
func (f *file) fail() {
	for i := range f.writes {
		if w := &f.writes[i]; !w.sure && w.cut == 0 {
			w.gone = true
		}
	}
}

// commitCut makes a change of size durable: what it has cut off cannot come back.
func (f *file) commitCut(n int) {
	at := slices.IndexFunc(f.writes, func(w write) bool { return w.cut == n })
	if at < 0 {
		return
	}
	size := f.writes[at].at
	f.base = resize(f.base, size)
	var rest []write
	for _, w := range f.writes[:at] {
		if w.cut == 0 && w.at < size {
			w.data = w.data[:min(int64(len(w.data)), size-w.at)]
			rest = append(rest, w)
		}
	}
	f.writes = append(rest, f.writes[at+1:]...)
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b[:len(b):len(b)], make([]byte, size-int64(len(b)))...)
}

// wrote notes what was written: what was to be, or where that failed what has come of it.
func (s *system) wrote(op *disk.Op, a *act, failed error) {
	f := s.files[a.file]
	st, err := look(op.Path, op.Fd)
	if f == nil || err != nil {
		return
	}
	data := op.Data
	if failed != nil || data == nil {
		data = make([]byte, max(min(int64(op.Len), st.Size-op.At), 0))
		in, err := os.Open("/proc/self/fd/" + strconv.Itoa(op.Fd))
		if err != nil {
			return
		}
		defer in.Close()
		if _, err := in.ReadAt(data, op.At); err != nil {
			return
		}
	}
	if len(data) > 0 {
		f.writes = append(f.writes, write{at: op.At, data: slices.Clone(data)})
	}
	s.used += (pages(st.Size) - pages(a.size)) * pageSize
}

// truncated notes a new size.
func (s *system) truncated(a *act, size int64) {
	s.used += (pages(size) - pages(a.size)) * pageSize
	f := s.files[a.file]
	if f == nil || a.size == size {
		return
	}
	c := &change{file: a.file, cut: true}
	s.add(c)
	f.writes = append(f.writes, write{at: size, cut: c.n})
}

// after says what a file holds after a power cut. kept says which changes of size have come to be.
func (f *file) after(rng *rand.Rand, kept func(n int) bool) (content []byte, lost int) {
	content = slices.Clone(f.base)
	chance := []float64{0, 0.2, 0.5, 0.9, 1}[rng.IntN(5)]
	whole := int64(len(content)) // how large it would be with all its content
	for _, w := range f.writes {
		if w.cut != 0 {
			if !kept(w.cut) {
				break // what was written since is in blocks that belong to nobody
			}
			content, whole = resize(content, w.at), w.at
			continue
		}
		whole = max(whole, w.at+int64(len(w.data)))
		for from := w.at; from < w.at+int64(len(w.data)); {
			to := min((from/pageSize+1)*pageSize, w.at+int64(len(w.data)))
			if w.sure || rng.Float64() < chance {
				content = resize(content, max(int64(len(content)), to))
				copy(content[from:to], w.data[from-w.at:to-w.at])
			} else {
				lost++
			}
			from = to
		}
	}
	if rng.IntN(3) == 0 { // the size was noted before the content
		content = resize(content, max(int64(len(content)), whole))
	}
	return content, lost
}
