package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// contradiction is a log that is not what its own checkpoint says.
type contradiction struct{ text string }

func (c *contradiction) Error() string { return c.text }

func contradict(format string, args ...any) error {
	return &contradiction{fmt.Sprintf(format, args...)}
}

// Open opens a log, or begins one. Of what its checkpoint covers it reads the newest file only: Verify reads all.
func Open(o Options) (*Log, error) {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	l := &Log{o: o}
	err := l.o.Disk.MkdirAll(filepath.Join(o.Dir, entriesDir))
	if err == nil {
		err = l.loadKey()
	}
	if err == nil {
		err = l.load()
	}
	var c *contradiction
	if errors.As(err, &c) {
		err = l.setAside(c.text)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the audit log: %w", err), l.close())
	}
	return l, nil
}

// SetAside takes a log out of the way that contradicts something else that this side remembers, and begins another.
func (l *Log) SetAside(why string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.setAside(why)
}

func (l *Log) setAside(why string) error {
	_ = l.close()
	to, err := nextDamaged(l.o.Disk, l.o.Dir)
	if err == nil {
		err = l.o.Disk.MkdirAll(to)
	}
	names := []string{checkpointName, hashesName, entriesDir} // without a checkpoint what is left is set aside as well, should this be cut short
	if l.key == nil {
		names = append(names, publicName, keyName)
	}
	for _, name := range names {
		if err == nil {
			if err = l.o.Disk.Rename(filepath.Join(l.o.Dir, name), filepath.Join(to, name)); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	if err == nil {
		err = errors.Join(l.o.Disk.SyncDir(to), l.o.Disk.SyncDir(l.o.Dir))
	}
	if err == nil {
		err = l.o.Disk.MkdirAll(filepath.Join(l.o.Dir, entriesDir))
	}
	if err == nil && l.key == nil {
		err = l.drawKey()
	}
	if err != nil {
		return fmt.Errorf("set the audit log aside (%s): %w", why, err)
	}
	l.findings = append(l.findings, fmt.Sprintf("the audit log was not what this side has signed (%s): it stands in %s, and a new one was begun", why, to))
	l.aside = true
	return l.begin(why)
}

// begin makes the first entry and the first checkpoint.
func (l *Log) begin(why string) error {
	l.tree, l.checkpoint, l.fresh, l.stored, l.broken, l.tail = tree{}, Checkpoint{}, nil, 0, nil, nil
	aside, err := Damaged(l.o.Disk, l.o.Dir)
	if err != nil {
		return err
	}
	data, err := json.Marshal(struct {
		Key   string   `json:"key"`
		Aside []string `json:"aside"`
	}{l.public, append([]string{}, aside...)})
	if err == nil {
		err = l.openHashes()
	}
	if err == nil {
		l.file, err = l.openSegment(0)
	}
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	l.first, l.at, l.rotated = 0, 0, true
	if err := l.append([]Entry{{Event: "begun", Text: why, Data: data}}); err != nil {
		return err
	}
	return l.settle()
}

func (l *Log) openHashes() (err error) {
	l.hashes, err = l.o.Disk.OpenFile(filepath.Join(l.o.Dir, hashesName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	return err
}

// loadKey reads the key, or draws one.
func (l *Log) loadKey() error {
	text, err := l.o.Disk.ReadFile(filepath.Join(l.o.Dir, keyName), 1<<10)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.drawKey()
	case err != nil:
		return fmt.Errorf("read the log's key: %w", err)
	}
	return l.useKey(string(text))
}

func (l *Log) drawKey() error {
	private, public, err := newKey(l.o.Random, l.o.Origin)
	if err == nil {
		err = l.o.Disk.Replace(filepath.Join(l.o.Dir, publicName), []byte(public+"\n"))
	}
	if err == nil {
		err = l.o.Disk.Replace(filepath.Join(l.o.Dir, keyName), []byte(private+"\n"))
	}
	if err != nil {
		return fmt.Errorf("make the log's key: %w", err)
	}
	return l.useKey(private)
}

// useKey takes a key and finds its public half, which is no secret of the file beside it.
func (l *Log) useKey(text string) error {
	text = strings.TrimSpace(text)
	signer, err := note.NewSigner(text)
	if err != nil {
		return contradict("its key cannot be read: %v", err)
	}
	parts := strings.SplitN(text, "+", 5) // PRIVATE+KEY+name+hash+base64, and base64 has a plus of its own
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return contradict("its key cannot be read")
	}
	l.public, err = note.NewEd25519VerifierKey(signer.Name(), ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
	if err != nil {
		return contradict("its key cannot be read: %v", err)
	}
	l.key = signer
	return nil
}

// load takes up what an earlier life has left.
func (l *Log) load() error {
	firsts, err := segments(l.o.Disk, l.o.Dir)
	if err != nil {
		return contradict("%v", err)
	}
	text, err := l.o.Disk.ReadFile(filepath.Join(l.o.Dir, checkpointName), checkpointMost)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.neverBegun(firsts); err != nil {
			return err
		}
		return l.begin("")
	}
	if err != nil {
		return err
	}
	key, err := ParseKey(l.public)
	if err == nil {
		l.checkpoint, err = ParseCheckpoint(text, key)
	}
	if err != nil {
		return contradict("%v", err)
	}
	if err := l.openHashes(); err != nil {
		return err
	}
	if err := l.loadTree(firsts); err != nil {
		return err
	}
	return l.loadTail(firsts)
}

// neverBegun says that there is no more than what a first start leaves that ends before its first checkpoint.
func (l *Log) neverBegun(firsts []uint64) error {
	if len(firsts) == 0 {
		return nil
	}
	text, err := readSegment(l.o.Disk, l.o.Dir, firsts[0])
	if err != nil {
		return err
	}
	if len(firsts) > 1 || firsts[0] != 0 || bytes.Count(text, []byte("\n")) > 1 {
		return contradict("there are entries, and no checkpoint")
	}
	return nil
}

// loadTree takes the tree as it was at the checkpoint from the hashes, or from all entries where those do not hold.
func (l *Log) loadTree(firsts []uint64) error {
	t, err := grow(l.checkpoint.Size, hashesOf(l.hashes.ReadAt))
	if err == nil && t.root() == l.checkpoint.Root {
		l.tree, l.stored = *t, tlog.StoredHashCount(int64(l.checkpoint.Size))
		return nil
	}
	l.findings = append(l.findings, "the hashes of the audit log were missing or damaged: they were made again from its entries")
	return l.rehash(firsts)
}

// rehash reads all that the checkpoint covers.
func (l *Log) rehash(firsts []uint64) error {
	l.tree, l.stored, l.fresh = tree{}, 0, nil
	for _, first := range firsts {
		if first != l.tree.size {
			return contradict("entry %d is gone", l.tree.size)
		}
		text, err := readSegment(l.o.Disk, l.o.Dir, first)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			if l.tree.size == l.checkpoint.Size {
				break
			}
			l.grow([]tlog.Hash{tlog.RecordHash(bytes.TrimSuffix(line, []byte("\n")))})
		}
		if l.tree.size == l.checkpoint.Size {
			break
		}
	}
	if l.tree.size < l.checkpoint.Size {
		return contradict("%d entries are on record of the %d that were signed", l.tree.size, l.checkpoint.Size)
	}
	if l.tree.root() != l.checkpoint.Root {
		return contradict("the first %d entries are not those that were signed", l.checkpoint.Size)
	}
	return l.flush()
}

// loadTail reads the newest file that the checkpoint reaches into, and what follows. It holds what is covered against the hashes, and cuts off what a power cut has torn behind it.
func (l *Log) loadTail(firsts []uint64) error {
	err := l.takeTail(firsts)
	if !errors.Is(err, errLeaf) {
		return err
	}
	l.findings = append(l.findings, "the hashes of the audit log were damaged: they were made again from its entries")
	if bad := l.rehash(firsts); bad != nil { // the hashes may be what is wrong
		var c *contradiction
		if errors.As(bad, &c) {
			return contradict("%v", err)
		}
		return bad
	}
	if err := l.takeTail(firsts); !errors.Is(err, errLeaf) {
		return err
	}
	return contradict("%v", err)
}

// errLeaf is an entry whose hash is not the one that was stored.
var errLeaf = errors.New("an entry is not the one that was signed")

func (l *Log) takeTail(firsts []uint64) error {
	covered := l.checkpoint.Size
	at := slices.IndexFunc(firsts, func(first uint64) bool { return first > covered })
	if at < 0 {
		at = len(firsts)
	}
	if at == 0 {
		return contradict("the entries before %d are gone", covered)
	}
	var torn []byte
	for i, first := range firsts[at-1:] {
		text, err := readSegment(l.o.Disk, l.o.Dir, first)
		if err != nil {
			return err
		}
		if len(torn) > 0 || i > 0 && first != l.tree.size {
			torn = append(torn, text...)
			if err := l.o.Disk.Remove(segmentPath(l.o.Dir, first)); err != nil {
				return err
			}
			continue
		}
		if l.file != nil {
			_ = l.file.Close()
		}
		if l.file, err = l.openSegment(first); err != nil {
			return err
		}
		l.first = first
		if err := l.takeSegment(text, first); err != nil {
			return err
		}
		torn = append(torn, text[l.at:]...)
	}
	if len(torn) == 0 {
		return nil
	}
	return l.cut(torn)
}

// takeSegment reads the whole entries of one file.
func (l *Log) takeSegment(text []byte, first uint64) error {
	l.at = 0
	n := first
	stored, from, err := l.storedFrom(first)
	if err != nil {
		return err
	}
	for ; n < l.checkpoint.Size; n++ {
		line, _, whole := bytes.Cut(text[l.at:], []byte("\n"))
		if !whole {
			return contradict("%d entries are on record of the %d that were signed", n, l.checkpoint.Size)
		}
		h := tlog.RecordHash(line)
		if at := (tlog.StoredHashIndex(0, int64(n)) - from) * tlog.HashSize; !bytes.Equal(h[:], stored[at:at+tlog.HashSize]) {
			return fmt.Errorf("%w: it is entry %d", errLeaf, n)
		}
		l.at += int64(len(line)) + 1
	}
	for ; ; n++ {
		line, _, whole := bytes.Cut(text[l.at:], []byte("\n"))
		e, err := Parse(line)
		if !whole || err != nil || e.N != n {
			return nil
		}
		l.grow([]tlog.Hash{tlog.RecordHash(line)})
		l.tail = append(l.tail, *e)
		l.at += int64(len(line)) + 1
	}
}

// storedFrom reads the hashes from an entry's to the checkpoint's end, and says which is the first.
func (l *Log) storedFrom(first uint64) (stored []byte, from int64, err error) {
	from = tlog.StoredHashIndex(0, int64(first))
	if first >= l.checkpoint.Size {
		return nil, from, nil
	}
	stored = make([]byte, (tlog.StoredHashCount(int64(l.checkpoint.Size))-from)*tlog.HashSize)
	if n, err := l.hashes.ReadAt(stored, from*tlog.HashSize); n < len(stored) {
		return nil, 0, fmt.Errorf("read the hashes of the audit log: %w", err)
	}
	return stored, from, nil
}

// cut takes off what is no entry behind the last one. It was never durable, so nothing that was said to be done is in it.
func (l *Log) cut(torn []byte) error {
	if err := l.file.Truncate(l.at); err != nil {
		return fmt.Errorf("cut the torn end off: %w", err)
	}
	text := fmt.Sprintf("%d bytes behind it were no whole entry, as a crash leaves them, and were cut off; SHA-256 %x", len(torn), sha256.Sum256(torn))
	l.findings = append(l.findings, "the audit log: "+text)
	return l.append([]Entry{{Event: "cut", Text: text}})
}
