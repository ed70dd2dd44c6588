package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// Fault is one thing that does not hold.
type Fault struct {
	Entry *uint64 `json:"entry"` // where it is known
	Text  string  `json:"text"`
}

// Report is what Verify found.
type Report struct {
	Origin  string   `json:"origin"`
	Key     string   `json:"key"`
	Entries uint64   `json:"entries"` // that are there
	Signed  uint64   `json:"signed"`  // that the newest checkpoint covers
	Root    string   `json:"root"`
	Records int      `json:"records"` // that were held against their last entry
	Faults  []Fault  `json:"faults"`
	Notes   []string `json:"notes"`
	OwnKey  bool     `json:"own_key"` // all was held against the key beside the log alone: whoever made up the log may have made up that too
}

// Records gives of each bundle that has a record the digest of what stands on the disk.
type Records func(yield func(bundle, digest string) error) error

// faultsMost bounds what one look tells.
const faultsMost = 100

// verification is one look at a whole log.
type verification struct {
	r      Reader
	report *Report
	key    note.Verifier
	own    Checkpoint
	kept   *Checkpoint // that somebody has kept elsewhere

	tree   tree
	added  []tlog.Hash
	hashes *bufio.Reader // nil where there are none
	told   bool          // that they do not agree
	last   map[string][]digest
}

// digest is what an entry says of a record.
type digest struct {
	n    uint64
	text string
}

// Verify reads all of a log and says what does not hold: every line, its number, the tree, the signature, and the records that stand beside it. kept is a checkpoint that was kept
// elsewhere, key one that is trusted; both may be empty.
func Verify(r Reader, kept []byte, key string, records Records) (*Report, error) {
	v := &verification{r: r, report: &Report{Faults: []Fault{}, Notes: []string{}}, last: make(map[string][]digest)}
	if err := v.begin(kept, key); err != nil {
		return nil, err
	}
	if v.key == nil {
		return v.report, nil
	}
	if err := v.read(); err != nil {
		return nil, err
	}
	v.compare()
	if len(v.report.Faults) == 0 {
		if err := v.parse(); err != nil {
			return nil, err
		}
	}
	if records != nil && len(v.report.Faults) == 0 {
		if err := v.hold(records); err != nil {
			return nil, err
		}
	}
	return v.report, nil
}

func (v *verification) fault(format string, args ...any) { v.faultAt(nil, format, args...) }

func (v *verification) faultAt(n *uint64, format string, args ...any) {
	if len(v.report.Faults) < faultsMost {
		v.report.Faults = append(v.report.Faults, Fault{n, fmt.Sprintf(format, args...)})
	}
}

// begin reads key and checkpoints.
func (v *verification) begin(kept []byte, key string) (err error) {
	beside, err := v.r.Key()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err
	case err != nil && key == "":
		return err
	case key == "":
		key, v.report.OwnKey = beside, kept == nil
	case err != nil || beside != key:
		v.report.Notes = append(v.report.Notes, "the key beside the log is another than the one that was given")
	}
	if v.key, err = ParseKey(key); err != nil {
		v.fault("%v", err)
		return nil
	}
	v.report.Key, v.report.Origin = key, v.key.Name()
	if v.own, err = v.r.Checkpoint(key); err != nil {
		v.fault("%v", err)
	}
	v.report.Signed = v.own.Size
	if kept != nil {
		c, err := ParseCheckpoint(kept, v.key)
		if err != nil {
			v.fault("the checkpoint that was kept: %v", err)
		} else {
			v.kept = &c
		}
	}
	aside, err := Damaged(v.r.Disk, v.r.Dir)
	for _, path := range aside {
		v.report.Notes = append(v.report.Notes, path+" was set aside: it was not what this side had signed")
	}
	return err
}

// read goes through all entries, and takes their hashes.
func (v *verification) read() error {
	firsts, err := segments(v.r.Disk, v.r.Dir)
	if err != nil {
		v.fault("%v", err)
		return nil
	}
	if v.hashes, err = v.openHashes(); err != nil {
		return err
	}
	for i, first := range firsts {
		if first != v.tree.size {
			v.fault("the file of the entries from %d on follows entry %d", first, int64(v.tree.size)-1)
			return nil
		}
		text, err := readSegment(v.r.Disk, v.r.Dir, first)
		if err != nil {
			return err
		}
		v.segment(text, i == len(firsts)-1)
	}
	return nil
}

func (v *verification) openHashes() (*bufio.Reader, error) {
	f, err := v.r.Disk.OpenFile(filepath.Join(v.r.Dir, hashesName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			v.fault("the hashes are gone: they are made again from the entries at the next start")
			return nil, nil
		}
		return nil, err
	}
	return bufio.NewReaderSize(closing{f}, 1<<16), nil
}

// closing closes a file at its end.
type closing struct{ *disk.File }

func (c closing) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	if err != nil {
		_ = c.File.Close()
	}
	return n, err
}

// segment takes the hashes of the entries of one file.
func (v *verification) segment(text []byte, newest bool) {
	for line := range wholeLines(text) {
		n := v.tree.size
		if !line.whole && newest && n >= v.own.Size {
			v.report.Notes = append(v.report.Notes, fmt.Sprintf("%d bytes at the end are no whole entry: it is being written, or a crash has left it so", len(line.text)))
			return
		}
		if !line.whole {
			v.faultAt(&n, "entry %d is cut off", n)
		}
		v.take(n, line.text)
	}
}

// parse looks into every entry of a log whose tree holds.
func (v *verification) parse() error {
	firsts, err := segments(v.r.Disk, v.r.Dir)
	if err != nil {
		return err
	}
	var n uint64
	for _, first := range firsts {
		text, err := readSegment(v.r.Disk, v.r.Dir, first)
		if err != nil {
			return err
		}
		for line := range wholeLines(text) {
			if n == v.tree.size {
				return nil // it came since
			}
			e, err := Parse(line.text)
			switch {
			case err != nil || e.N != n:
				v.faultAt(&n, "%s", wrong(n, e, err))
			case e.Record != "":
				v.last[e.Bundle] = appendDigest(v.last[e.Bundle], digest{n, e.Record})
			}
			n++
		}
	}
	return nil
}

// wrong says what is wrong with the entry that stands at a place; it may be none, with an error.
func wrong(n uint64, e *Entry, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("entry %d is not what was written: %v", n, err)
	case e.N != n:
		return fmt.Sprintf("entry %d stands where %d should: entries were taken out, put in, or put in another order", e.N, n)
	}
	return fmt.Sprintf("entry %d is not the one that was hashed when it was written, or the hashes were changed", n)
}

// appendDigest keeps the last two: a record may be on its way from one to the other.
func appendDigest(all []digest, d digest) []digest {
	if len(all) == 2 {
		all[0], all[1] = all[1], d
		return all
	}
	return append(all, d)
}

type line struct {
	text  []byte
	whole bool
}

func wholeLines(text []byte) iter.Seq[line] {
	return func(yield func(line) bool) {
		for t := range bytes.Lines(text) {
			cut, whole := bytes.CutSuffix(t, []byte("\n"))
			if !yield(line{cut, whole}) {
				return
			}
		}
	}
}

// take puts one entry into the tree, and holds what is stored, and the checkpoints, against it.
func (v *verification) take(n uint64, line []byte) {
	v.added = v.tree.add(tlog.RecordHash(line), v.added[:0])
	for _, want := range v.added {
		if v.hashes == nil || v.told || n >= v.own.Size { // what is not signed yet is not written yet
			break
		}
		var have tlog.Hash
		if _, err := io.ReadFull(v.hashes, have[:]); err != nil || have != want {
			e, err := Parse(line)
			v.faultAt(&n, "%s", wrong(n, e, err))
			v.told = true // and nothing that follows stands in its place, perhaps
		}
	}
	if v.tree.size == v.own.Size && v.tree.root() != v.own.Root {
		v.fault("the first %d entries are not those that were signed: their tree has the root %s, the checkpoint says %s", v.own.Size, v.tree.root(), v.own.Root)
	}
	if c := v.kept; c != nil && v.tree.size == c.Size && v.tree.root() != c.Root {
		v.fault("the first %d entries are not those of the checkpoint that was kept: their tree has the root %s, it says %s", c.Size, v.tree.root(), c.Root)
	}
}

// compare holds what was read against the checkpoints as a whole.
func (v *verification) compare() {
	v.report.Entries, v.report.Root = v.tree.size, v.tree.root().String()
	if v.tree.size < v.own.Size {
		v.fault("the log was cut off: %d entries are there of the %d that were signed", v.tree.size, v.own.Size)
	}
	if c := v.kept; c != nil && v.own.Size < c.Size {
		v.fault("the log was put back to an older one: its checkpoint has %d entries, the one that was kept has %d", v.own.Size, c.Size)
	}
}

// hold holds the records on the disk against the last entry of each. Where a daemon is at work a record may be on its way from the one before, as long as no checkpoint says that it has
// arrived; and what it has written since is looked up.
func (v *verification) hold(records Records) error {
	seen := make(map[string]bool)
	err := records(func(bundle, have string) error {
		seen[bundle] = true
		v.report.Records++
		if v.tells(v.last[bundle], have) {
			return nil
		}
		newer, err := v.newer(bundle)
		if err != nil || v.tells(newer, have) {
			return err
		}
		all := append(v.last[bundle], newer...)
		if len(all) == 0 {
			v.fault("bundle %s has a record, and the log has no entry of it", bundle)
			return nil
		}
		n := all[len(all)-1].n
		v.faultAt(&n, "the record of bundle %s is not the one of which entry %d tells: it was changed by other hands", bundle, n)
		return nil
	})
	if err != nil {
		return err
	}
	for bundle, all := range v.last {
		if seen[bundle] || v.tells(all, Gone) {
			continue
		}
		newer, err := v.newer(bundle)
		if err != nil {
			return err
		}
		if d := all[len(all)-1]; !v.tells(newer, Gone) {
			v.faultAt(&d.n, "the record of bundle %s, of which entry %d tells, is gone", bundle, d.n)
		}
	}
	return nil
}

// tells says whether entries of a bundle tell of a record.
func (v *verification) tells(all []digest, have string) bool {
	for i, d := range slices.Backward(all) {
		if d.text == have {
			return true
		}
		if d.n < v.own.Size {
			return false // it is settled: what was before it is past
		}
		if i == 0 && len(all) < 2 && have == Gone {
			return true // it has its first record at this moment
		}
	}
	return false
}

// newer are the entries of a bundle that were written since the log was read.
func (v *verification) newer(bundle string) (all []digest, err error) {
	list, err := v.r.List(Query{Bundle: bundle, from: v.tree.size})
	for _, e := range list {
		if e.Record != "" {
			all = append(all, digest{e.N, e.Record})
		}
	}
	return all, err
}
