package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// ErrTaken is returned for a directory that is not empty.
var ErrTaken = errors.New("it is not empty: name one that is, or that is not there yet")

// Export copies all that the newest checkpoint covers into a directory that is empty or not there yet, durably: the whole of a log but its private key, for Verify to look at elsewhere.
func (r Reader) Export(to string) (Checkpoint, error) {
	c, err := r.Checkpoint("")
	if err != nil {
		return c, err
	}
	if err := r.export(to, c); err != nil {
		return c, fmt.Errorf("export the audit log: %w", err)
	}
	return c, nil
}

func (r Reader) export(to string, c Checkpoint) error {
	names, err := r.Disk.ReadDir(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%s: %w", to, ErrTaken)
	}
	if err := r.Disk.MkdirAll(filepath.Join(to, entriesDir)); err != nil {
		return err
	}
	firsts, err := segments(r.Disk, r.Dir)
	if err != nil {
		return err
	}
	for _, first := range firsts {
		if first >= c.Size {
			break
		}
		lines, err := r.lines(first)
		if err != nil {
			return err
		}
		lines = lines[:min(uint64(len(lines)), c.Size-first)]
		text := append(bytes.Join(lines, []byte("\n")), '\n')
		if err := r.Disk.Replace(segmentPath(to, first), text); err != nil {
			return err
		}
	}
	if err := r.exportHashes(to, c); err != nil {
		return err
	}
	public, err := r.Key()
	if err == nil {
		err = r.Disk.Replace(filepath.Join(to, publicName), []byte(public+"\n"))
	}
	if err == nil { // the last: without it nothing holds
		err = r.Disk.Replace(filepath.Join(to, checkpointName), []byte(c.Text))
	}
	return err
}

func (r Reader) exportHashes(to string, c Checkpoint) error {
	f, err := r.Disk.OpenFile(filepath.Join(r.Dir, hashesName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	hashes := make([]byte, tlog.StoredHashCount(int64(c.Size))*tlog.HashSize)
	if n, err := f.ReadAt(hashes, 0); n < len(hashes) {
		return fmt.Errorf("read the hashes: %w", err)
	}
	return r.Disk.Replace(filepath.Join(to, hashesName), hashes)
}
