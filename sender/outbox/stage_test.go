package outbox

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/disk"
)

func TestWhatIsStagedIsACopyUnderAHiddenName(t *testing.T) {
	src, box := t.TempDir(), t.TempDir()
	tree := filepath.Join(src, "tree")
	old := time.Unix(1_500_000_000, 0)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(tree, "sub"), 0o755), os.WriteFile(filepath.Join(tree, "sub", "f"), []byte("content"), 0o640),
		os.Chtimes(filepath.Join(tree, "sub", "f"), old, old), os.Chtimes(filepath.Join(tree, "sub"), old, old), os.Chmod(filepath.Join(tree, "sub"), 0o500),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(tree, "sub"), 0o700) })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hidden, err := Stage(ctx, disk.New(), tree, box)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(box, "tree", "sub"), 0o700) })
	if filepath.Base(hidden)[0] != '.' {
		t.Errorf("%s is not hidden", hidden)
	}
	if err := Place(disk.New(), hidden, filepath.Join(box, "tree")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(box, "tree", "sub", "f"))
	if err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	for name, mode := range map[string]os.FileMode{"sub": 0o500, "sub/f": 0o640} {
		info, err := os.Stat(filepath.Join(box, "tree", name))
		if err != nil || info.Mode().Perm() != mode || !info.ModTime().Equal(old) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestWhatCannotTravelLeavesNothingBehind(t *testing.T) {
	src, box := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "a"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(src, "link")); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, f := range map[string]func() (string, error){
		"a link": func() (string, error) { return Stage(context.Background(), disk.New(), src, box) },
		"nothing": func() (string, error) {
			return Stage(context.Background(), disk.New(), filepath.Join(src, "none"), box)
		},
		"interrupted": func() (string, error) { return Stage(ended, disk.New(), filepath.Join(src, "a"), box) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
	if left, _ := os.ReadDir(box); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAPlaceThatIsTakenIsRefused(t *testing.T) {
	box := t.TempDir()
	for _, n := range []string{".h", "name"} {
		if err := os.WriteFile(filepath.Join(box, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Place(disk.New(), filepath.Join(box, ".h"), filepath.Join(box, "name")); err == nil {
		t.Error("it was replaced")
	}
}

func TestWhatASendLeftIsRemovedInTheEnd(t *testing.T) {
	box := t.TempDir()
	b, err := Open(Options{Disk: disk.New(), Dir: box, Tenant: "default"})
	if err != nil {
		t.Fatal(err)
	}
	left, other := filepath.Join(box, stagePrefix+"0123456789abcdef"), filepath.Join(box, "item")
	for _, err := range []error{os.MkdirAll(filepath.Join(left, "sub"), 0o700), os.WriteFile(filepath.Join(left, "sub", "f"), nil, 0o600), os.WriteFile(other, nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.PurgeStaged(time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); err != nil {
		t.Errorf("what is being copied was removed: %v", err)
	}
	if err := b.PurgeStaged(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); err == nil {
		t.Error("it is still there")
	}
	if _, err := os.Lstat(other); err != nil {
		t.Errorf("an item was removed: %v", err)
	}
}

func TestTimesBeyondWhatNanosecondsCountTravel(t *testing.T) {
	src, box := t.TempDir(), t.TempDir()
	path := filepath.Join(src, "f")
	late := time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.New().Chtimes(path, time.Time{}, late); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || !info.ModTime().Equal(late) {
		t.Fatalf("this file system holds no such time: %v, %v", info, err)
	}
	hidden, err := Stage(t.Context(), disk.New(), path, box)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(hidden); err != nil || !info.ModTime().Equal(late) {
		t.Errorf("it has %v, %v", info.ModTime(), err)
	}
}
