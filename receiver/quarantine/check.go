package quarantine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// signatureLimit bounds an armored signature: base64 of the largest blob, its lines and its frame.
const signatureLimit = 16 << 10

// ReadSigned reads a bundle's papers and verifies manifest, signature and SHA256SUMS, but no content.
func ReadSigned(d *disk.Disk, dir string, e Expect) (*Signed, error) {
	root, err := d.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	defer root.Close()
	return readPapers(root, e)
}

func readPapers(root *disk.Root, e Expect) (*Signed, error) {
	armored, err := readSmall(root, SignatureName, signatureLimit)
	if err != nil {
		return nil, mismatch(err, SignatureName)
	}
	blob, err := bundle.Unarmor(armored)
	if err != nil {
		return nil, err
	}
	m, err := openRegular(root, ManifestName)
	if err != nil {
		return nil, mismatch(err, ManifestName)
	}
	defer m.Close()
	signed, err := readSigned(m, blob, nil, e)
	if err != nil {
		return nil, err
	}
	return signed, checkSums(root, signed.Manifest.Table)
}

// Check verifies a quarantined bundle whole: papers, every file's bytes, nothing missing, nothing extra. A *bundle.Rejection says what does not hold.
func Check(d *disk.Disk, dir string, e Expect) (*Signed, error) {
	info, err := d.Lstat(dir)
	if err != nil {
		return nil, mismatch(err, "the bundle")
	}
	if !info.IsDir() {
		return nil, bundle.Reject(bundle.ReasonContentMismatch, "M-6", "the bundle is not a directory")
	}
	root, err := d.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	defer root.Close()
	signed, err := readPapers(root, e)
	if err != nil {
		return nil, err
	}
	if err := checkExtra(root, signed.Manifest.Table); err != nil {
		return nil, err
	}
	return signed, CheckFiles(root, FilesName, signed.Manifest.Table)
}

// mismatch makes a refusal of what is not there, or has no directory where it should; other errors are ours.
func mismatch(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%s is missing", what)
	}
	return err
}

// openRegular opens a regular file and nothing else: os.Root would follow a link to another file of the bundle, and a pipe would wait for its other end. What was looked
// at is what was opened, also where somebody swaps it in between.
func openRegular(root *disk.Root, name string) (*disk.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is not a regular file", name)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is being changed", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func readSmall(root *disk.Root, name string, limit int64) ([]byte, error) {
	f, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, bundle.Reject(bundle.ReasonSignatureFormat, "G-1", "%q is too large", name)
	}
	return b, err
}

// checkSums holds SHA256SUMS against what the manifest makes of it, byte for byte.
func checkSums(root *disk.Root, t *bundle.Table) error {
	f, err := openRegular(root, SumsName)
	if err != nil {
		return mismatch(err, SumsName)
	}
	defer f.Close()
	have, want := sha256.New(), sha256.New()
	if _, err := io.Copy(have, f); err != nil {
		return fmt.Errorf("read %s: %w", SumsName, err)
	}
	if err := bundle.WriteSums(want, t); err != nil {
		return err
	}
	if !bytes.Equal(have.Sum(nil), want.Sum(nil)) {
		return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%s is not the one that the manifest makes", SumsName)
	}
	return nil
}

// checkExtra refuses whatever is not named by the manifest.
func checkExtra(root *disk.Root, t *bundle.Table) error {
	top := map[string]bool{FilesName: true, ManifestName: false, SignatureName: false, SumsName: false}
	entries, err := root.List(".")
	if err != nil {
		return fmt.Errorf("read bundle: %w", err)
	}
	for _, e := range entries {
		if dir, known := top[e.Name()]; !known || dir != e.IsDir() {
			return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q does not belong to the bundle", e.Name())
		}
	}
	return CheckTree(root, FilesName, t)
}

// CheckTree refuses what stands below base and is not in the table, or is neither a regular file nor a directory.
//
// The table and the walk are in the same order, so no set of names is held: each entry must be the next of its kind.
func CheckTree(root *disk.Root, base string, t *bundle.Table) error {
	info, err := root.Lstat(base)
	if err != nil {
		return mismatch(err, base)
	}
	if !info.IsDir() {
		return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is not a directory", base)
	}
	files, dirs := 0, 0
	err = walk(root, base, func(name string, e fs.DirEntry) error {
		switch {
		case e.IsDir() && dirs < t.Dirs() && string(t.Dir(dirs).Path) == name:
			dirs++
		case e.Type().IsRegular() && files < t.Files() && string(t.File(files+1).Path) == name:
			files++
		case !e.IsDir() && !e.Type().IsRegular():
			return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is neither a file nor a directory", name)
		default:
			return extraOrMissing(t, files, dirs, name)
		}
		return nil
	})
	if err == nil && (files < t.Files() || dirs < t.Dirs()) {
		err = bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%d files and %d directories are missing", t.Files()-files, t.Dirs()-dirs)
	}
	return err
}

func extraOrMissing(t *bundle.Table, files, dirs int, name string) error {
	if files < t.Files() && bundle.Compare(t.File(files+1).Path, bundle.Path(name)) < 0 {
		return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is missing", t.File(files+1).Path)
	}
	if dirs < t.Dirs() && bundle.Compare(t.Dir(dirs).Path, bundle.Path(name)) < 0 {
		return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is missing", t.Dir(dirs).Path)
	}
	return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is not in the manifest", name)
}

// walk visits everything below base in the order of paths (SPEC.md rule N-5), with names relative to base. It follows no link.
func walk(root *disk.Root, base string, visit func(name string, e fs.DirEntry) error) error {
	var below func(rel string) error
	below = func(rel string) error {
		entries, err := root.List(path.Join(base, rel)) // sorted bytewise
		if err != nil {
			return mismatch(err, base)
		}
		for _, e := range entries {
			name := path.Join(rel, e.Name())
			if err := visit(name, e); err != nil {
				return err
			}
			if e.IsDir() {
				if err := below(name); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return below("")
}

// CheckFiles reads every file of the table below base and holds size and SHA-256 against it.
func CheckFiles(root *disk.Root, base string, t *bundle.Table) error {
	h, buffer := sha256.New(), make([]byte, 1<<20)
	for n := 1; n <= t.Files(); n++ {
		want := t.File(n)
		f, err := openRegular(root, filepath.Join(base, string(want.Path)))
		if err != nil {
			return mismatch(err, fmt.Sprintf("%q", want.Path))
		}
		d, ok, err := digestOf(f, want.Size, h, buffer)
		f.Close()
		if err != nil {
			return fmt.Errorf("read %q: %w", want.Path, err)
		}
		if !ok || !want.Digest.Holds(d) {
			return bundle.Reject(bundle.ReasonContentMismatch, "M-6", "%q is not what was signed", want.Path)
		}
	}
	return nil
}
