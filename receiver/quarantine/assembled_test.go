package quarantine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/collect"
)

// staging is the real disk as the assembler wants it.
type staging struct{ *disk.Disk }

func (d staging) OpenStaged(path string) (assemble.File, error) { return d.Disk.OpenStaged(path) }
func (d staging) SyncAll(string) error                          { return nil } // no power is cut here

// admitting takes every bundle. What it is not asked in these tests it does not answer.
type admitting struct {
	assemble.Owner
	whole chan *assemble.Staged
}

func (admitting) Offered(assemble.Source, *record.Offer, time.Time) error { return nil }
func (admitting) Known(bundle.ID) bool                                    { return false }
func (admitting) Closed(assemble.Source, *record.Close)                   {}
func (admitting) Damaged(bundle.ID, assemble.Missing)                     {}
func (admitting) Receiving(bundle.ID)                                     {}
func (o admitting) Whole(s *assemble.Staged)                              { o.whole <- s }

// send gives an assembler the offer, some chunks and the close.
func (p *parcel) send(t *testing.T, a *assemble.Assembler, chunks ...uint32) {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	b := record.NewBlock(make([]byte, 100*bundle.MinShard))
	if !p.offer.AppendTo(b) {
		t.Fatal("the offer does not fit")
	}
	layout := bundle.NewLayout(p.m.Table, chunkSize)
	for _, n := range chunks {
		var runs []bundle.Run
		var content []byte
		if i := int(n) - int(p.offer.Chunks); i >= 0 {
			r := bundle.ManifestRun(i, int64(len(p.text)), chunkSize)
			runs, content = []bundle.Run{r}, p.text[r.Offset:r.Offset+uint64(r.Length)]
		} else {
			layout.Seek(int(n))
			_, runs, _, _ = layout.Next()
			content = p.content(runs)
		}
		c := record.Chunk{Bundle: p.m.Bundle, Number: n, Raw: uint32(len(content)), Runs: runs, Frame: encoder.EncodeAll(content, nil)}
		if s := record.NewSlicer(c); !s.AppendTo(b) {
			t.Fatal("a chunk does not fit")
		}
	}
	if !p.close.AppendTo(b) {
		t.Fatal("the close does not fit")
	}
	block := b.Seal(1, 100*bundle.MinShard)
	var shards [][]byte
	for ; len(block) > 0; block = block[bundle.MinShard:] {
		shards = append(shards, block[:bundle.MinShard])
	}
	r, err := record.ReadBlock(shards, 1)
	if err != nil {
		t.Fatal(err)
	}
	a.Block(collect.SessionInfo{Sender: "low", Epoch: p.m.Epoch, Number: 1, Link: "a"}, r)
}

// From the assembler's hands: hashed as it came, wrong, repaired, built.
func TestABundleGoesFromTheAssemblerIntoQuarantine(t *testing.T) {
	o := admitting{whole: make(chan *assemble.Staged, 1)}
	a, err := assemble.New(assemble.Options{Dir: t.TempDir(), Disk: staging{disk.New()}, Owner: o, Memory: 48 << 20, Now: func() time.Time { return received }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	whole := func() *assemble.Staged {
		select {
		case s := <-o.whole:
			return s
		case <-time.After(10 * time.Second):
			t.Fatal("no bundle became whole")
			return nil
		}
	}
	p := pack(t, order{})
	p.send(t, a, 0, 1, 2, 3, 4, 5)
	s := whole()
	hashed := 0
	for n := range p.data {
		if d, ok := s.Digest(n+1, int64(len(p.data[n]))); ok && d == p.m.Table.File(n+1).Digest {
			hashed++
		}
	}
	if hashed == 0 {
		t.Error("nothing was hashed as it came: this does not try what it should")
	}
	// The disk grew a file behind its end: the digest of what came does not speak for it.
	if err := os.Truncate(assemble.StagedPath(s.Dir, 2), 101); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(disk.New(), s, trust(t)); verdict(err) != "content-mismatch M-5" {
		t.Errorf("a file that goes on behind its end: %v", err)
	}
	if err := os.Truncate(assemble.StagedPath(s.Dir, 2), 100); err != nil {
		t.Fatal(err)
	}
	// The manifest went bad: its chunks are missing, and come again.
	flip(t, assemble.StagedPath(s.Dir, 0), 50)
	_, err = Verify(disk.New(), s, trust(t))
	var wrong *WrongContent
	if !errors.As(err, &wrong) || fmt.Sprint(wrong.Chunks) != "[5]" {
		t.Fatalf("%v", err)
	}
	s.Wrong(wrong.Chunks, wrong.Files)
	p.send(t, a, wrong.Chunks...)
	s = whole()
	signed, err := Verify(disk.New(), s, trust(t))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := Build(disk.New(), s, signed)
	if err != nil {
		t.Fatal(err)
	}
	holdsParcel(t, dir, p)
	if err := s.Done(); err != nil {
		t.Error(err)
	}
}
