package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// Reader reads a log that somebody else may be writing.
type Reader struct {
	Disk Disk
	Dir  string
}

// ErrNone is returned where there is no log, or no such entry.
var ErrNone = errors.New("there is no such thing in the audit log")

// Key is the public key that stands beside the log.
func (r Reader) Key() (string, error) {
	text, err := r.Disk.ReadFile(filepath.Join(r.Dir, publicName), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: no log was begun in %s", ErrNone, r.Dir)
	}
	return strings.TrimSpace(string(text)), err
}

// verifier takes a key as text, or the one that stands beside the log.
func (r Reader) verifier(key string) (note.Verifier, error) {
	if key == "" {
		var err error
		if key, err = r.Key(); err != nil {
			return nil, err
		}
	}
	return ParseKey(key)
}

// Checkpoint is the newest, by the key that is given or stands beside it.
func (r Reader) Checkpoint(key string) (Checkpoint, error) {
	v, err := r.verifier(key)
	if err != nil {
		return Checkpoint{}, err
	}
	text, err := r.Disk.ReadFile(filepath.Join(r.Dir, checkpointName), checkpointMost)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	return ParseCheckpoint(text, v)
}

// Query selects entries.
type Query struct {
	Bundle string    `json:"bundle"` // or the beginning of one
	Tenant string    `json:"tenant"`
	Since  time.Time `json:"since"`
	Before *uint64   `json:"before"` // only entries with a lower number
	Limit  int       `json:"limit"`  // the newest; 0 is all

	from uint64 // only entries with this number, or a higher one
}

func (q Query) takes(e *Entry) bool {
	return strings.HasPrefix(e.Bundle, q.Bundle) && (q.Tenant == "" || e.Tenant == q.Tenant) && !e.At.Before(q.Since)
}

// List gives entries, the oldest first. It stops at a file of which all are older than is asked for: clocks run back, but not for so long.
func (r Reader) List(q Query) (found []Entry, err error) {
	firsts, err := segments(r.Disk, r.Dir)
	if err != nil {
		return nil, err
	}
	found = []Entry{}
	for _, first := range slices.Backward(firsts) {
		if q.Before != nil && first >= *q.Before {
			continue
		}
		lines, err := r.lines(first)
		if err != nil {
			return nil, err
		}
		old := !q.Since.IsZero()
		for i, line := range slices.Backward(lines) {
			n := first + uint64(i)
			if n < q.from {
				slices.Reverse(found)
				return found, nil
			}
			if q.Before != nil && n >= *q.Before || q.Bundle != "" && !bytes.Contains(line, []byte(q.Bundle)) {
				continue
			}
			e, err := parseAt(line, n)
			if err != nil {
				return nil, err
			}
			if q.takes(e) {
				found = append(found, *e)
			}
			old = old && e.At.Before(q.Since)
			if q.Limit > 0 && len(found) == q.Limit {
				slices.Reverse(found)
				return found, nil
			}
		}
		if old && q.Bundle == "" { // of others of its entries nothing was read
			break
		}
	}
	slices.Reverse(found)
	return found, nil
}

// Records gives of each bundle the digest of its record of which the log tells last, or Gone.
func (r Reader) Records() (map[string]string, error) {
	last := make(map[string]string)
	firsts, err := segments(r.Disk, r.Dir)
	if err != nil {
		return nil, err
	}
	for _, first := range firsts {
		lines, err := r.lines(first)
		if err != nil {
			return nil, err
		}
		for i, line := range lines {
			e, err := parseAt(line, first+uint64(i))
			if err != nil {
				return nil, err
			}
			if e.Record != "" {
				last[e.Bundle] = e.Record
			}
		}
	}
	return last, nil
}

// lines are the whole lines of a file of entries. What is being written is not there yet.
func (r Reader) lines(first uint64) ([][]byte, error) {
	text, err := readSegment(r.Disk, r.Dir, first)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(text, []byte("\n"))
	return lines[:len(lines)-1], nil
}

func parseAt(line []byte, n uint64) (*Entry, error) {
	e, err := Parse(line)
	if err == nil && e.N != n {
		err = fmt.Errorf("its number is %d", e.N)
	}
	if err != nil {
		return nil, fmt.Errorf("entry %d is not what was written: %w", n, err)
	}
	return e, nil
}

// Line is one entry as it stands.
func (r Reader) Line(n uint64) ([]byte, error) {
	firsts, err := segments(r.Disk, r.Dir)
	if err != nil {
		return nil, err
	}
	at, exact := slices.BinarySearch(firsts, n)
	if !exact {
		at--
	}
	if at >= 0 {
		lines, err := r.lines(firsts[at])
		if err != nil {
			return nil, err
		}
		if i := n - firsts[at]; i < uint64(len(lines)) {
			return lines[i], nil
		}
	}
	return nil, fmt.Errorf("%w: it has no entry %d", ErrNone, n)
}

// Entry is one entry.
func (r Reader) Entry(n uint64) (*Entry, error) {
	line, err := r.Line(n)
	if err != nil {
		return nil, err
	}
	return parseAt(line, n)
}

// Proof shows to anybody with the log's public key that an entry is in it.
type Proof struct {
	Entry      string      `json:"entry"`      // the line, byte for byte
	Size       uint64      `json:"size"`       // of the tree: the number of entries of the checkpoint
	Proof      []tlog.Hash `json:"proof"`      // the hashes beside its way to the root, the lowest first
	Checkpoint string      `json:"checkpoint"` // the signed note
}

// Prove makes the proof that an entry is in the tree of a checkpoint: the newest, where text is nil.
func (r Reader) Prove(n uint64, text []byte, key string) (*Proof, error) {
	v, err := r.verifier(key)
	if err != nil {
		return nil, err
	}
	if text == nil {
		text, err = r.Disk.ReadFile(filepath.Join(r.Dir, checkpointName), checkpointMost)
	}
	var c Checkpoint
	if err == nil {
		c, err = ParseCheckpoint(text, v)
	}
	if err != nil {
		return nil, err
	}
	line, err := r.Line(n)
	if err != nil {
		return nil, err
	}
	if n >= c.Size {
		return nil, fmt.Errorf("entry %d is not in this checkpoint, which has %d: the next one, some seconds from now, has it", n, c.Size)
	}
	f, err := r.Disk.OpenFile(filepath.Join(r.Dir, hashesName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	path, err := tlog.ProveRecord(int64(c.Size), int64(n), hashesOf(f.ReadAt))
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", n, err)
	}
	p := &Proof{Entry: string(line), Size: c.Size, Proof: append([]tlog.Hash{}, path...), Checkpoint: c.Text}
	if _, err := p.Check(v); err != nil {
		return nil, err
	}
	return p, nil
}

// Check holds a proof against the log's key alone, and gives the entry.
func (p *Proof) Check(key note.Verifier) (*Entry, error) {
	c, err := ParseCheckpoint([]byte(p.Checkpoint), key)
	if err != nil {
		return nil, err
	}
	e, err := Parse([]byte(p.Entry))
	if err == nil && p.Size != c.Size {
		err = fmt.Errorf("it is a proof for %d entries, with a checkpoint of %d", p.Size, c.Size)
	}
	if err == nil && e.N >= c.Size {
		err = fmt.Errorf("the checkpoint has %d entries only", c.Size)
	}
	if err == nil {
		err = tlog.CheckRecord(tlog.RecordProof(p.Proof), int64(c.Size), c.Root, int64(e.N), tlog.RecordHash([]byte(p.Entry)))
	}
	if err != nil {
		return nil, fmt.Errorf("the proof does not hold: %w", err)
	}
	return e, nil
}

// String is an entry in one line for people.
func (e *Entry) String() string {
	parts := []string{e.Event}
	for _, s := range []string{e.Bundle, e.Tenant, e.Reason, e.Who, e.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return cmp.Or(strings.Join(parts, " "), "-")
}
