package main

import (
	"path/filepath"

	"ecluse/internal/disk"
	"ecluse/internal/udp"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/chamber"
	"ecluse/receiver/collect"
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

// socket is a UDP socket as receiver/collect wants it. One goroutine calls Receive.
type socket struct {
	*udp.Receiver
	views []udp.View
}

func (s *socket) Receive(buffers []collect.Buffer) (int, error) {
	s.views = s.views[:0]
	for _, b := range buffers {
		s.views = append(s.views, udp.View{Mem: b.Mem})
	}
	n, err := s.ReceiveInto(s.views)
	for i := range n {
		buffers[i].N, buffers[i].Segment = s.views[i].N, s.views[i].Segment
	}
	return n, err
}

// owner is the chamber as receiver/assemble knows it; it tells the collector of heartbeats, which hold the links' silence.
type owner struct {
	*chamber.Chamber
	heard func(link string)
}

func (o owner) Beat(s assemble.Source, b *record.Heartbeat) {
	o.heard(s.Link)
	o.Chamber.Beat(s, b)
}
