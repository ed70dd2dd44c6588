package vectors_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

type blockInput struct {
	Number uint32
	K      int
	Block  string
}

// head is a tenant in a heartbeat.
type head struct {
	Tenant   string `json:"tenant"`
	Sequence uint64 `json:"sequence"`
	Manifest string `json:"manifest"`
}

// fields are those of any record, or the reason why one is refused. Bytes are hexadecimal.
type fields struct {
	Refused                             string `json:"refused"`
	Type                                string `json:"type"`
	Bundle, Epoch, Tenant, Name, Reason string
	Class                               uint8
	Files, Dirs                         uint32
	Bytes                               uint64
	Chunks                              uint32
	ChunkSize                           uint32 `json:"chunk_size"`
	Created                             int64
	Chunk, Raw, Frame, Offset           uint32
	Runs                                [][3]uint64
	Data                                string
	Sequence                            uint64
	Previous, Manifest, Signature       string
	ManifestSize                        uint64 `json:"manifest_size"`
	ManifestChunks                      uint32 `json:"manifest_chunks"`
	Clock                               int64
	TicketKey                           string `json:"ticket_key"`
	Waiting                             uint32
	WaitingBytes                        uint64 `json:"waiting_bytes"`
	Tenants                             []head
}

// read gives what a record holds as fields.
func read(t *testing.T, r record.Record) fields {
	t.Helper()
	switch r := r.(type) {
	case *record.Offer:
		return fields{Type: "offer", Bundle: hex.EncodeToString(r.Bundle[:]), Epoch: hex.EncodeToString(r.Epoch[:]), Tenant: r.Tenant.String(),
			Class: uint8(r.Class), Files: r.Files, Dirs: r.Dirs, Bytes: r.Bytes, Chunks: r.Chunks, ChunkSize: r.ChunkSize, Created: r.Created, Name: r.Name}
	case *record.Slice:
		runs := [][3]uint64{}
		for _, run := range r.Runs {
			runs = append(runs, [3]uint64{uint64(run.File), run.Offset, uint64(run.Length)})
		}
		return fields{Type: "slice", Bundle: hex.EncodeToString(r.Bundle[:]), Chunk: r.Chunk, Raw: r.Raw, Frame: r.Frame, Offset: r.Offset, Runs: runs,
			Data: hex.EncodeToString(bytes.Join(r.Data, nil))}
	case *record.Close:
		return fields{Type: "close", Bundle: hex.EncodeToString(r.Bundle[:]), Epoch: hex.EncodeToString(r.Epoch[:]), Tenant: r.Tenant.String(),
			Sequence: r.Sequence, Previous: r.Previous.String(), ManifestSize: r.ManifestSize, Manifest: r.Manifest.String(), Chunks: r.Chunks,
			ManifestChunks: r.ManifestChunks, Signature: hex.EncodeToString(r.Signature)}
	case *record.Abandon:
		return fields{Type: "abandon", Bundle: hex.EncodeToString(r.Bundle[:]), Epoch: hex.EncodeToString(r.Epoch[:]), Tenant: r.Tenant.String(),
			Reason: r.Reason, Signature: hex.EncodeToString(r.Signature)}
	case *record.Heartbeat:
		heads := []head{}
		for _, h := range r.Tenants {
			heads = append(heads, head{h.Tenant.String(), h.Sequence, h.Manifest.String()})
		}
		return fields{Type: "heartbeat", Clock: r.Clock, Epoch: hex.EncodeToString(r.Epoch[:]), TicketKey: hex.EncodeToString(r.TicketKey[:]),
			Waiting: r.Waiting, WaitingBytes: r.WaitingBytes, Tenants: heads}
	}
	t.Fatalf("no record of ours: %T", r)
	return fields{}
}

// record makes the record that the fields describe.
func (f fields) record(t *testing.T) record.Record {
	t.Helper()
	id, epoch, tenant := bundle.ID(unhex(t, pad(f.Bundle, 16))), bundle.Epoch(unhex(t, pad(f.Epoch, 16))), bundle.Name(f.Tenant)
	manifest := bundle.Digest(unhex(t, pad(f.Manifest, 32)))
	switch f.Type {
	case "offer":
		return &record.Offer{Bundle: id, Epoch: epoch, Tenant: tenant, Class: bundle.Class(f.Class), Files: f.Files, Dirs: f.Dirs, Bytes: f.Bytes,
			Chunks: f.Chunks, ChunkSize: f.ChunkSize, Created: f.Created, Name: f.Name}
	case "slice":
		var runs []bundle.Run
		for _, run := range f.Runs {
			runs = append(runs, bundle.Run{File: uint32(run[0]), Offset: run[1], Length: uint32(run[2])})
		}
		return &record.Slice{Bundle: id, Chunk: f.Chunk, Raw: f.Raw, Frame: f.Frame, Offset: f.Offset, Runs: runs, Data: [][]byte{unhex(t, f.Data)}}
	case "close":
		return &record.Close{Bundle: id, Epoch: epoch, Tenant: tenant, Sequence: f.Sequence, Previous: bundle.Digest(unhex(t, pad(f.Previous, 32))),
			ManifestSize: f.ManifestSize, Manifest: manifest, Chunks: f.Chunks, ManifestChunks: f.ManifestChunks, Signature: unhex(t, f.Signature)}
	case "abandon":
		return &record.Abandon{Bundle: id, Epoch: epoch, Tenant: tenant, Reason: f.Reason, Signature: unhex(t, f.Signature)}
	case "heartbeat":
		h := &record.Heartbeat{Clock: f.Clock, Epoch: epoch, TicketKey: [32]byte(unhex(t, f.TicketKey)), Waiting: f.Waiting, WaitingBytes: f.WaitingBytes}
		for _, x := range f.Tenants {
			h.Tenants = append(h.Tenants, record.TenantHead{Tenant: bundle.Name(x.Tenant), Sequence: x.Sequence, Manifest: bundle.Digest(unhex(t, x.Manifest))})
		}
		return h
	}
	t.Fatalf("no type of record: %q", f.Type)
	return nil
}

// pad gives n bytes of zeroes for a field that a record has not.
func pad(text string, n int) string {
	if text == "" {
		return hex.EncodeToString(make([]byte, n))
	}
	return text
}

// shards cuts a block into its k shards, each in memory of its own.
func shards(block []byte, k int) (all [][]byte) {
	size := len(block) / k
	for i := range k {
		all = append(all, bytes.Clone(block[i*size:(i+1)*size]))
	}
	return all
}

// walk reads a whole block: its records and refusals in order, and the first refusal.
func walk(t *testing.T, in blockInput) (all []fields, first error) {
	t.Helper()
	r, err := record.ReadBlock(shards(unhex(t, in.Block), in.K), in.Number)
	if err != nil {
		return nil, err
	}
	for {
		next, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, first
		}
		if err != nil {
			reason, ok := bundle.ReasonOf(err)
			if !ok {
				t.Fatal(err)
			}
			if first == nil {
				first = err
			}
			all = append(all, fields{Refused: string(reason)})
			continue
		}
		all = append(all, read(t, next))
	}
}

func TestBlocksOfSections6And7(t *testing.T) {
	each(t, "blocks", func(t *testing.T, v vector, in blockInput) {
		got, err := walk(t, in)
		accepted := judged(t, v, err)
		want := values[struct {
			Records []fields
			Counts  map[string]int
		}](t, v)
		if want.Counts != nil {
			counts := map[string]int{}
			for _, f := range got {
				counts[f.Refused]++
			}
			if !reflect.DeepEqual(counts, want.Counts) {
				t.Errorf("refused %v, should be %v", counts, want.Counts)
			}
			return
		}
		if len(got) != len(want.Records) {
			t.Fatalf("%d records, should be %d: %+v", len(got), len(want.Records), got)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want.Records[i]) {
				t.Errorf("record %d is\n%+v, should be\n%+v", i, got[i], want.Records[i])
			}
		}
		if accepted {
			writes(t, in, want.Records)
		}
	})
}

// writes holds the block that Go makes of the records against the one that was given.
func writes(t *testing.T, in blockInput, records []fields) {
	t.Helper()
	want := unhex(t, in.Block)
	b := record.NewBlock(make([]byte, len(want)))
	for i, f := range records {
		if !f.record(t).AppendTo(b) {
			t.Fatalf("record %d does not fit", i)
		}
	}
	same(t, "block", b.Seal(in.Number, len(want)), want)
}
