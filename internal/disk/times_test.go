package disk

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What FineTimes says of a file system holds for writes and renames in it, not only for what it tried; and it leaves nothing behind.
func TestFineTimesHold(t *testing.T) {
	dir := t.TempDir()
	d := New()
	device, fine := d.FineTimes(dir)
	t.Logf("times in %s are fine: %v", dir, fine)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("it left %v, %v", left, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || fine && device != st.Dev {
		t.Fatalf("device %d, not %d, %v", device, st.Dev, err)
	}
	if _, again := d.FineTimes(dir); again != fine {
		t.Fatal("it says otherwise when it is asked again")
	}
	for of, d := range map[string]*Disk{filepath.Join(dir, "nowhere"): New(), dir: Watched(countless{})} {
		if _, fine := d.FineTimes(of); fine {
			t.Fatal("it is said of nothing, or under a probe")
		}
	}
	path := filepath.Join(dir, "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var last unix.Timespec
	same := 0
	for i := range 3000 {
		if i%3 == 0 {
			err = os.Rename(path, path+"2")
			path += "2"
			if i%60 == 0 {
				err = os.Rename(path, filepath.Join(dir, "file"))
				path = filepath.Join(dir, "file")
			}
		} else {
			_, err = f.WriteAt([]byte{byte(i)}, 0)
		}
		var st unix.Stat_t
		if err != nil || unix.Stat(path, &st) != nil {
			t.Fatal(err)
		}
		if st.Ctim == last {
			same++
		}
		last = st.Ctim
	}
	if fine && same > 0 {
		t.Errorf("%d of 3,000 changes did not show", same)
	}
}

// countless is a probe that looks at nothing.
type countless struct{}

func (countless) Before(*Op) error { return nil }
func (countless) After(*Op, error) {}
