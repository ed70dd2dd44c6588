package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ecluse/internal/disk"
)

// Disk is what this room needs of a file system.
type Disk interface {
	MkdirAll(dir string) error
	OpenFile(path string, flag int, perm fs.FileMode) (*disk.File, error)
	Replace(path string, content []byte) error // durable on return
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(path string) error
	RemoveAll(path string) error
	SyncDir(dir string) error
}

// The files of a log.
const (
	entriesDir     = "entries"
	hashesName     = "hashes"
	checkpointName = "checkpoint"
	keyName        = "key"
	publicName     = "key.pub"
	damagedName    = "damaged-"
)

// Dir is where a state keeps its log.
func Dir(state string) string { return filepath.Join(state, "audit") }

// segmentMost is the size from which entries go into another file: small enough to be read at once by whoever looks for a few.
const segmentMost = 8 << 20

// segmentLimit bounds what is read of one: the group that comes last may be large.
const segmentLimit = 1 << 30

// segmentName names a file of entries by its first.
func segmentName(first uint64) string { return fmt.Sprintf("%016d", first) }

// segments lists the first entries of all files of a log, ascending.
func segments(d Disk, dir string) (firsts []uint64, err error) {
	names, err := d.ReadDir(filepath.Join(dir, entriesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		first, err := strconv.ParseUint(name, 10, 63)
		if err != nil || segmentName(first) != name {
			return nil, fmt.Errorf("%s is no file of entries", filepath.Join(dir, entriesDir, name))
		}
		firsts = append(firsts, first)
	}
	slices.Sort(firsts)
	return firsts, nil
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, entriesDir, segmentName(first))
}

// readSegment reads one file of entries.
func readSegment(d Disk, dir string, first uint64) ([]byte, error) {
	text, err := d.ReadFile(segmentPath(dir, first), segmentLimit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return text, nil
}

// Damaged lists what was set aside of a log.
func Damaged(d Disk, dir string) (paths []string, err error) {
	names, err := d.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		if strings.HasPrefix(name, damagedName) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, nil
}

// nextDamaged is where the next one goes.
func nextDamaged(d Disk, dir string) (string, error) {
	have, err := Damaged(d, dir)
	if err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		if path := filepath.Join(dir, damagedName+strconv.Itoa(n)); !slices.Contains(have, path) {
			return path, nil
		}
	}
}
