package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// Options of a Log.
type Options struct {
	Dir    string
	Disk   Disk
	Origin string // the name of a log that is begun, and of its key: no space, no plus
	Now    func() time.Time
	Random io.Reader // for a key that is drawn; nil is the system's
}

// Log is an open log. It may be used from many goroutines; the process holds the state's lock.
type Log struct {
	o Options

	mu         sync.Mutex // guards what follows
	key        note.Signer
	public     string
	tree       tree
	checkpoint Checkpoint // the newest on the disk

	file    *disk.File // of entries, the newest
	first   uint64     // its first entry
	at      int64      // its size
	rotated bool       // since the last checkpoint, so that there are names to be made durable

	hashes *disk.File
	stored int64  // hashes in it
	fresh  []byte // those that follow, not written yet

	owed     []Entry // told, and there was no room
	lost     uint64  // told beyond those
	broken   error   // an append that failed could not be taken back
	tail     []Entry
	aside    bool
	findings []string

	folds folds // it has a lock of its own
}

const (
	owedMost  = 1000      // entries of what is no record's change, for which a full disk has no room
	freshMost = 256 << 10 // bytes of hashes that are kept in memory between two checkpoints
)

// Append adds entries, all or none, and numbers them. They are durable with the next sync of their file system.
func (l *Log) Append(entries ...Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(entries)
}

// Tell adds an entry about something that is done already. Where there is no room it goes with the next one.
func (l *Log) Tell(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.At.IsZero() {
		e.At = l.o.Now()
	}
	if l.append([]Entry{e}) == nil {
		return
	}
	if len(l.owed) < owedMost {
		l.owed = append(l.owed, e)
	} else {
		l.lost++
	}
}

// Sync makes all entries durable.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sync()
}

// Note adds an entry that is durable on return.
func (l *Log) Note(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.append([]Entry{e}); err != nil {
		return err
	}
	return l.sync()
}

func (l *Log) append(entries []Entry) error {
	if l.broken != nil {
		return l.broken
	}
	if len(l.owed) > 0 {
		entries = append(l.debts(), entries...)
	}
	if len(entries) == 0 {
		return nil
	}
	if l.at >= segmentMost {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	text, leaves, err := l.lines(entries)
	if err != nil {
		return err
	}
	if _, err := l.file.WriteAt(text, l.at); err != nil {
		err = fmt.Errorf("write the audit log: %w", err)
		if back := l.file.Truncate(l.at); back != nil {
			l.broken = fmt.Errorf("%w, and taking it back: %w", err, back)
			return l.broken
		}
		return err
	}
	l.at += int64(len(text))
	l.grow(leaves)
	l.owed, l.lost = nil, 0
	return nil
}

// debts are the entries that wait, and how many more there were.
func (l *Log) debts() []Entry {
	debts := l.owed[:len(l.owed):len(l.owed)]
	if l.lost > 0 {
		debts = append(debts, Entry{Event: "lost", Text: fmt.Sprintf("%d entries, for which the disk had no room", l.lost)})
	}
	return debts
}

// lines writes entries, with the numbers that they get.
func (l *Log) lines(entries []Entry) (text []byte, leaves []tlog.Hash, err error) {
	now := l.o.Now()
	for i, e := range entries {
		e.N = l.tree.size + uint64(i)
		if e.At.IsZero() {
			e.At = now
		}
		line, err := e.Line()
		if err != nil {
			return nil, nil, err
		}
		leaves = append(leaves, tlog.RecordHash(line))
		text = append(append(text, line...), '\n')
	}
	return text, leaves, nil
}

// grow takes the leaves of entries that are written into the tree.
func (l *Log) grow(leaves []tlog.Hash) {
	var stored []tlog.Hash
	for _, leaf := range leaves {
		stored = l.tree.add(leaf, stored[:0])
		for _, h := range stored {
			l.fresh = append(l.fresh, h[:]...)
		}
	}
	if len(l.fresh) > freshMost {
		_ = l.flush() // they are tried again before the next checkpoint, which needs them
	}
}

// flush writes hashes that are not written yet.
func (l *Log) flush() error {
	if len(l.fresh) == 0 {
		return nil
	}
	if _, err := l.hashes.WriteAt(l.fresh, l.stored*tlog.HashSize); err != nil {
		return fmt.Errorf("write the hashes of the audit log: %w", err)
	}
	l.stored += int64(len(l.fresh) / tlog.HashSize)
	l.fresh = l.fresh[:0]
	return nil
}

// rotate begins another file.
func (l *Log) rotate() error {
	f, err := l.openSegment(l.tree.size)
	if err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil { // nothing asks for this one any more
		return errors.Join(fmt.Errorf("sync the audit log: %w", err), f.Close())
	}
	_ = l.file.Close() // it is durable
	l.file, l.first, l.at, l.rotated = f, l.tree.size, 0, true
	return nil
}

func (l *Log) openSegment(first uint64) (*disk.File, error) {
	f, err := l.o.Disk.OpenFile(segmentPath(l.o.Dir, first), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return f, nil
}

// sync makes the entries durable.
func (l *Log) sync() error {
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync the audit log: %w", err)
	}
	if l.rotated {
		if err := l.o.Disk.SyncDir(filepath.Join(l.o.Dir, entriesDir)); err != nil {
			return fmt.Errorf("sync the audit log: %w", err)
		}
		l.rotated = false
	}
	return nil
}

// Settle makes a checkpoint of all that there is, durably. Its caller says that every entry stands: that what it tells of is durable too, or that another entry tells that it is not.
func (l *Log) Settle() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settle()
}

func (l *Log) settle() error {
	if len(l.owed) > 0 {
		_ = l.append(nil) // there may be room again
	}
	l.unfold(false)
	if l.broken != nil || l.tree.size == l.checkpoint.Size {
		return l.broken
	}
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	if err := l.hashes.Sync(); err != nil {
		return fmt.Errorf("sync the hashes of the audit log: %w", err)
	}
	c, err := sign(l.key.Name(), l.tree.size, l.tree.root(), l.key)
	if err == nil {
		err = l.o.Disk.Replace(filepath.Join(l.o.Dir, checkpointName), []byte(c.Text))
	}
	if err != nil {
		return fmt.Errorf("write the checkpoint of the audit log: %w", err)
	}
	l.checkpoint = c
	return nil
}

// Checkpoint is the newest.
func (l *Log) Checkpoint() Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint
}

// Place is how many entries there are, and the hash of the tree over them.
func (l *Log) Place() (size uint64, root tlog.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree.size, l.tree.root()
}

// RootAt is the hash of the tree over the first entries.
func (l *Log) RootAt(size uint64) (tlog.Hash, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if size > l.tree.size {
		return tlog.Hash{}, fmt.Errorf("the audit log has %d entries, not %d", l.tree.size, size)
	}
	t, err := grow(size, hashesOf(l.readHash))
	if err != nil {
		return tlog.Hash{}, err
	}
	return t.root(), nil
}

func (l *Log) readHash(b []byte, at int64) (int, error) {
	if at >= l.stored*tlog.HashSize {
		return copy(b, l.fresh[min(int64(len(l.fresh)), at-l.stored*tlog.HashSize):]), io.ErrUnexpectedEOF
	}
	return l.hashes.ReadAt(b, at)
}

// Tail are the entries behind the newest checkpoint that an earlier life has left. Their owner says of which it is true, and calls Settle.
func (l *Log) Tail() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tail
	l.tail = nil
	return t
}

// Fresh says that the log has only been begun: of what was there before it nothing is said.
func (l *Log) Fresh() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint.Size == 1
}

// Aside says that this Open has set a log aside and begun another.
func (l *Log) Aside() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.aside
}

// Findings are what Open found and mended, in words.
func (l *Log) Findings() []string { return l.findings }

// Public is the key with which anybody checks the log's checkpoints.
func (l *Log) Public() string { return l.public }

// Close closes the files. What was not settled is looked at by the next Open.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *Log) close() error {
	var err error
	for _, f := range []*disk.File{l.file, l.hashes} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	l.file, l.hashes = nil, nil
	if l.broken == nil {
		l.broken = errClosed
	}
	return err
}

var errClosed = errors.New("the audit log is closed")
