package house

import (
	"path/filepath"

	"ecluse/internal/disk"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/chamber"
	"ecluse/receiver/issue"
)

// stagedDisk is the disk as receiver/assemble wants it.
type stagedDisk struct{ *disk.Disk }

func (d stagedDisk) OpenStaged(path string) (assemble.File, error) { return d.Disk.OpenStaged(path) }

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
