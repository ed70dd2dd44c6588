package quarantine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
)

// Modes in quarantine: the daemon's alone, whatever the manifest says. The real modes are set at delivery.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Build puts a verified bundle together inside its staging directory, by renames, and returns the directory. Nothing is durable yet: the caller
// renames the directory into quarantine, and has all of it made durable before the record that counts it gets its name. Begun by an earlier life, it goes on.
//
// A path becomes a name on disk here for the first time, and only through os.Root: no path leads out of files/, whatever it says.
func Build(d *disk.Disk, s *assemble.Staged, signed *Signed) (string, error) {
	root, err := d.OpenRoot(s.Dir)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", s.ID, err)
	}
	defer root.Close()
	b := &builder{root: root, from: root.Dirs(), to: root.Dirs(), table: signed.Manifest.Table}
	defer b.from.Close()
	defer b.to.Close()
	steps := []func() error{b.directories, b.files, func() error { return b.papers(signed) }, b.nothingElse}
	for _, step := range steps {
		if err := step(); err != nil {
			return "", fmt.Errorf("build %s: %w", s.ID, err)
		}
	}
	return filepath.Join(s.Dir, wholeName), nil
}

type builder struct {
	root     *disk.Root
	from, to *disk.Dirs // of the same
	table    *bundle.Table
	begun    bool // an earlier life had begun
}

func (b *builder) at(p bundle.Path) string { return filepath.Join(wholeName, FilesName, string(p)) }

// directories makes the tree. The table has every parent before what it holds.
func (b *builder) directories() error {
	for _, dir := range []string{wholeName, filepath.Join(wholeName, FilesName)} {
		if err := b.mkdir(dir); err != nil {
			return err
		}
	}
	for i := range b.table.Dirs() {
		if err := b.mkdir(b.at(b.table.Dir(i).Path)); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) mkdir(name string) error {
	err := b.to.Mkdir(name, dirMode)
	if errors.Is(err, fs.ErrExist) {
		b.begun = true
		return nil
	}
	return err
}

// files moves every staged file to its path; empty ones, which no chunk brought, are made.
func (b *builder) files() error {
	for n := 1; n <= b.table.Files(); n++ {
		f := b.table.File(n)
		if f.Size == 0 {
			e, err := b.root.OpenFile(b.at(f.Path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
			if err != nil {
				return err
			}
			if err := e.Close(); err != nil {
				return err
			}
			continue
		}
		if err := b.move(n, b.at(f.Path)); err != nil {
			return err
		}
	}
	return nil
}

// move puts a staged file in its place, unless an earlier life has.
func (b *builder) move(number int, to string) error {
	err := b.from.Rename(stagedName(number), b.to, to)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = b.root.Lstat(to)
	}
	return err
}

// nothingElse holds what was built against the manifest where this life did not build all of it.
func (b *builder) nothingElse() error {
	if !b.begun {
		return nil
	}
	whole, err := b.root.OpenRoot(wholeName)
	if err != nil {
		return err
	}
	defer whole.Close()
	return checkExtra(whole, b.table)
}

// papers writes what stands beside files/. The manifest moves last: where it stands, all else does.
func (b *builder) papers(s *Signed) error {
	err := b.write(SignatureName, func(w *bufio.Writer) error {
		_, err := w.Write(bundle.Armor(s.Signature))
		return err
	})
	if err == nil {
		err = b.write(SumsName, func(w *bufio.Writer) error { return bundle.WriteSums(w, b.table) })
	}
	if err != nil {
		return err
	}
	return b.move(0, filepath.Join(wholeName, ManifestName))
}

func (b *builder) write(name string, fill func(*bufio.Writer) error) error {
	f, err := b.root.OpenFile(filepath.Join(wholeName, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, streamBuffer)
	err = fill(w)
	if err == nil {
		err = w.Flush()
	}
	return errors.Join(err, f.Close())
}
