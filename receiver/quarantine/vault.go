package quarantine

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
)

// Names of what stands in a quarantined bundle.
const (
	FilesName     = "files"
	ManifestName  = "manifest.json"
	SignatureName = "manifest.json.sig"
	SumsName      = "SHA256SUMS"
)

// wholeName is where a bundle is put together, inside its staging directory.
const wholeName = "whole"

// staged is a bundle under verification: its files stand by number, or already by path in whole/, where an earlier life had begun to put it together.
type staged struct {
	*assemble.Staged
	root   *disk.Root // of the staging directory
	dirs   *disk.Dirs // the same, for what stands by number
	m      *bundle.Manifest
	hash   hash.Hash
	buffer []byte // made when a file has to be read: most were hashed as they came
}

// Verify checks everything about a bundle whose chunks are all here, except its place in the chain. It returns a *bundle.Rejection when the sender is at fault and
// a *WrongContent when content does not match; any other error is ours. What an earlier life had put together and is wrong stands by number again afterwards, where
// repairs are written.
func Verify(d *disk.Disk, s *assemble.Staged, e Expect) (*Signed, error) {
	if err := agree(s.Offer, s.Close); err != nil {
		return nil, err
	}
	root, err := d.OpenRoot(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("open staging of %s: %w", s.ID, err)
	}
	defer root.Close()
	signed, err := manifest(root, s, e)
	if err != nil {
		return nil, err
	}
	if err := signed.Manifest.AgreesWith(claimOf(s.Offer, s.Close)); err != nil {
		return nil, err
	}
	dirs := root.Dirs()
	defer dirs.Close()
	return signed, (&staged{Staged: s, root: root, dirs: dirs, m: signed.Manifest, hash: sha256.New()}).content()
}

// manifest reads the manifest that the close names, by its number or where an earlier life had moved it.
func manifest(root *disk.Root, s *assemble.Staged, e Expect) (*Signed, error) {
	moved := filepath.Join(wholeName, ManifestName)
	for _, name := range []string{stagedName(0), moved} {
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open manifest of %s: %w", s.ID, err)
		}
		signed, err := readSigned(f, s.Close.Signature, s.Close, e)
		f.Close()
		switch {
		case errors.Is(err, errDigest):
			continue
		case err == nil && name == moved:
			if err = renew(root, moved, make([]byte, streamBuffer)); err == nil {
				err = remove(root, stagedName(0))
			}
		}
		return signed, err
	}
	return nil, wrongManifest(s)
}

// renew writes again what an earlier life wrote and this one did not see become durable: a sync that failed then has left pages that the system thinks are written, and that no sync of
// today would write. What was noted as received was durable before it was noted; what stands in whole/ never was.
func renew(root *disk.Root, name string, buffer []byte) error {
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for at := int64(0); err == nil; {
		var n int
		n, err = f.ReadAt(buffer, at)
		if n > 0 {
			_, failed := f.WriteAt(buffer[:n], at)
			err, at = cmp.Or(failed, err), at+int64(n)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// remove removes what stands by number beside the right content.
func remove(root *disk.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// wrongManifest has all chunks of the manifest sent again.
func wrongManifest(s *assemble.Staged) error {
	w := &WrongContent{Files: []uint32{0}}
	for i := range s.Close.ManifestChunks {
		w.Chunks = append(w.Chunks, s.Offer.Chunks+i)
	}
	return w
}

// stagedName is assemble.StagedPath within the staging directory.
func stagedName(number int) string { return assemble.StagedPath("", uint32(number)) }

// treeName is where a file stands once the bundle is being put together.
func (s *staged) treeName(number int) string {
	return filepath.Join(wholeName, FilesName, string(s.m.Table.File(number).Path))
}

// open opens file number of the bundle, wherever it stands.
func (s *staged) open(number int) (*disk.File, error) {
	f, err := s.root.Open(stagedName(number))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.root.Open(s.treeName(number))
	}
	return f, err
}

// content checks the size and SHA-256 of every file. What the assembler hashed as it came is not read again.
func (s *staged) content() error {
	var wrong []uint32
	for n := 1; n <= s.m.Table.Files(); n++ {
		f := s.m.Table.File(n)
		if f.Size == 0 {
			continue // no chunk holds it; it is made when the tree is
		}
		ok, err := s.stands(n, f)
		if err != nil {
			return fmt.Errorf("read staged file %d of %s: %w", n, s.ID, err)
		}
		if !ok {
			wrong = append(wrong, uint32(n))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return s.locate(wrong)
}

// stands says whether file n is what was signed. An earlier life may have moved it, and chunks that it did not remember may have come again since: then both places hold
// something, and the right one is kept.
func (s *staged) stands(n int, f bundle.File) (bool, error) {
	if s.hashed(n, f) {
		return true, nil
	}
	ok, err := s.holds(stagedName(n), f)
	if ok || err != nil {
		return ok, err
	}
	ok, err = s.holds(s.treeName(n), f)
	switch {
	case err != nil:
		return false, err
	case ok:
		if err := renew(s.root, s.treeName(n), s.buffer); err != nil {
			return false, err
		}
		return true, remove(s.root, stagedName(n))
	}
	_, err = s.root.Lstat(stagedName(n))
	if errors.Is(err, fs.ErrNotExist) {
		err = s.root.Rename(s.treeName(n), stagedName(n))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it is nowhere: all of it is missing
	}
	return false, err
}

// hashed says whether the assembler saw the right content come, and nothing was written beyond its end.
func (s *staged) hashed(n int, f bundle.File) bool {
	d, ok := s.Digest(n, f.Size)
	if !ok || !f.Digest.Holds(d) {
		return false
	}
	var st unix.Stat_t
	return s.dirs.Lstat(stagedName(n), &st) == nil && st.Size == f.Size
}

func (s *staged) holds(name string, f bundle.File) (bool, error) {
	file, err := s.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	if s.buffer == nil {
		s.buffer = make([]byte, 1<<20)
	}
	d, ok, err := digestOf(file, f.Size, s.hash, s.buffer)
	return ok && f.Digest.Holds(d), err
}

// locate finds the wrong chunks of wrong files by their marks. Where every mark holds and the file does not, the manifest contradicts itself.
func (s *staged) locate(wrong []uint32) error {
	w := &WrongContent{Files: wrong}
	layout := bundle.NewLayout(s.m.Table, s.m.ChunkSize)
	content := make([]byte, 0, s.m.ChunkSize)
	for {
		chunk, runs, raw, ok := layout.Next()
		if !ok {
			break
		}
		if !slices.ContainsFunc(runs, func(r bundle.Run) bool { _, found := slices.BinarySearch(wrong, r.File); return found }) {
			continue
		}
		content = content[:raw]
		if err := s.readRuns(runs, content); err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("read chunk %d of %s: %w", chunk, s.ID, err)
			}
			w.Chunks = append(w.Chunks, uint32(chunk))
		} else if bundle.Mark(xxhash.Sum64(content)) != s.m.Marks[chunk] {
			w.Chunks = append(w.Chunks, uint32(chunk))
		}
	}
	if len(w.Chunks) == 0 {
		return bundle.Reject(bundle.ReasonContentMismatch, "M-5", "%d files do not match though all their chunks do", len(wrong))
	}
	return w
}

func (s *staged) readRuns(runs []bundle.Run, into []byte) error {
	for _, r := range runs {
		f, err := s.open(int(r.File))
		if err != nil {
			return err
		}
		_, err = f.ReadAt(into[:r.Length], int64(r.Offset))
		f.Close()
		if err != nil {
			return err
		}
		into = into[r.Length:]
	}
	return nil
}
