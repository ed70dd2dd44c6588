package house

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/chamber"
	"ecluse/receiver/collect"
	"ecluse/receiver/issue"
	"ecluse/receiver/ledger"
)

// stagedDisk is the disk as receiver/assemble wants it. Once the disk was so full that the room for the state's own records had to be given free, content takes nothing of that.
type stagedDisk struct {
	*disk.Disk
	spare *disk.Spare
}

func (d stagedDisk) OpenStaged(path string) (assemble.File, error) {
	f, err := d.Disk.OpenStaged(path)
	if err != nil {
		return nil, err
	}
	return stagedFile{f, path, d.spare}, nil
}

type stagedFile struct {
	*disk.File
	path  string
	spare *disk.Spare
}

func (f stagedFile) room() error {
	if f.spare.Given() {
		return &fs.PathError{Op: "write", Path: f.path, Err: syscall.ENOSPC}
	}
	return nil
}

func (f stagedFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.room(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

func (f stagedFile) WriteThrough(b []byte, at int64) (int, error) {
	if err := f.room(); err != nil {
		return 0, err
	}
	return f.File.WriteThrough(b, at)
}

// sessionFiles are the files of <state>/sessions.
type sessionFiles struct {
	disk *disk.Disk
	dir  string
}

// sessionFileMost bounds one of them: 32 epochs of one sender take about 12 KB.
const sessionFileMost = 1 << 20

func (f sessionFiles) Names() ([]string, error) { return f.disk.ReadDir(f.dir) }

func (f sessionFiles) Read(name string) ([]byte, error) {
	return f.disk.ReadFile(filepath.Join(f.dir, name), sessionFileMost)
}

func (f sessionFiles) Replace(name string, content []byte) error {
	return f.disk.Replace(filepath.Join(f.dir, name), content)
}

// anchored are the sessions, with a word to the anchor for each that was accepted.
type anchored struct {
	*collect.FileNumbers
	ledger *ledger.Ledger
}

func (a anchored) Store(sender bundle.Name, numbers []collect.Number) error {
	if err := a.FileNumbers.Store(sender, numbers); err != nil {
		return err
	}
	a.note(sender)
	return nil
}

func (a anchored) note(sender bundle.Name) {
	for _, n := range a.Of(sender) {
		a.ledger.Session(ledger.Session{Sender: sender, Key: n.Key, Epoch: n.Epoch, Number: n.Number, Announcement: n.Announcement})
	}
}

// openNumbers reads the sessions, and raises them to what the anchor remembers. That they were behind is on record before they are written.
func openNumbers(s *State) (collect.Numbers, error) {
	dir := filepath.Join(s.Dir, "sessions")
	if err := s.Disk.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	files, err := collect.OpenNumbers(sessionFiles{s.Disk, dir})
	if err != nil {
		return nil, err
	}
	behind := make(map[bundle.Name][]collect.Number)
	for _, r := range s.Ledger.Sessions() {
		n := collect.Number{Key: r.Key, Epoch: r.Epoch, Number: r.Number, Announcement: r.Announcement}
		if files.Behind(r.Sender, n) {
			behind[r.Sender] = append(behind[r.Sender], n)
		}
	}
	for sender, numbers := range behind {
		text := fmt.Sprintf("%s is older than what this receiver remembers, or was removed: the anchor's word stands", filepath.Join(dir, string(sender)+".json"))
		if err := s.Ledger.Contradict(text); err != nil {
			return nil, err
		}
		for _, n := range numbers {
			if err := files.Restore(sender, n); err != nil {
				return nil, err
			}
		}
	}
	a := anchored{files, s.Ledger}
	for _, sender := range files.Senders() {
		a.note(sender)
	}
	return a, nil
}

// owner is the chamber as receiver/assemble knows it; it tells the collector of heartbeats, which hold the links' silence, and the desk of the ticket keys in them.
type owner struct {
	*chamber.Chamber
	desk  *issue.Desk
	heard func(link string)
}

func (o owner) Beat(s assemble.Source, b *record.Heartbeat) {
	o.heard(s.Link)
	if b.Epoch == s.Epoch { // a session has one epoch, and its key speaks for no other
		o.desk.Heard(s.Sender, b.Epoch, b.TicketKey)
	}
	o.Chamber.Beat(s, b)
}
