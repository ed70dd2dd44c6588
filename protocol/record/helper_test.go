package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

const testNumber = 0x01020304

// Good records, one of each type. Tests change them, so each call makes new ones.

func goodOffer() *Offer {
	return &Offer{Bundle: bundle.ID{1}, Epoch: bundle.Epoch{2}, Tenant: "cssf", Class: bundle.Urgent, Files: 3, Dirs: 4, Bytes: 5,
		Chunks: 6, ChunkSize: 4096, Created: 7, Name: "n"}
}

func goodSlice() *Slice {
	return &Slice{Bundle: bundle.ID{1}, Chunk: 2, Raw: 300, Frame: 100, Runs: []bundle.Run{{File: 4, Offset: 5, Length: 100}, {File: 6, Length: 200}},
		Data: [][]byte{[]byte("da"), []byte("ta")}}
}

func goodClose() *Close {
	return &Close{Bundle: bundle.ID{1}, Epoch: bundle.Epoch{2}, Tenant: "cssf", Sequence: 3, Previous: bundle.Digest{4}, ManifestSize: 5,
		Manifest: bundle.Digest{6}, Chunks: 7, ManifestChunks: 8, Signature: bytes.Repeat([]byte{9}, 64)}
}

func goodAbandon() *Abandon {
	return &Abandon{Bundle: bundle.ID{1}, Epoch: bundle.Epoch{2}, Tenant: "cssf", Reason: "it changed", Signature: bytes.Repeat([]byte{9}, 64)}
}

func goodHeartbeat() *Heartbeat {
	return &Heartbeat{Clock: -2, Epoch: bundle.Epoch{2}, TicketKey: [32]byte{3}, Waiting: 4, WaitingBytes: 5, Tenants: []TenantHead{
		{Tenant: "a", Sequence: 6, Manifest: bundle.Digest{7}}, {Tenant: "b"}}}
}

func goodRecords() []Record {
	return []Record{goodOffer(), goodSlice(), goodClose(), goodAbandon(), goodHeartbeat()}
}

// body gives the bytes of a record's body, whether or not a reader would take them.
func body(r Record) []byte {
	return r.(interface{ Append([]byte) []byte }).Append(nil)
}

// raw gives the bytes of a record with its header, of any type and body.
func raw(t Type, body []byte) []byte {
	b := make([]byte, HeaderSize, HeaderSize+len(body))
	putHeader(b, t, len(body))
	return append(b, body...)
}

// frame makes a block of size bytes around any bytes as records, with a sum that holds.
func frame(records []byte, size int) []byte {
	block := make([]byte, size)
	binary.BigEndian.PutUint32(block[4:], testNumber)
	binary.BigEndian.PutUint32(block[8:], uint32(len(records)))
	copy(block[BlockHeaderSize:], records)
	return resum(block)
}

// resum makes the sum of a changed block hold again.
func resum(block []byte) []byte {
	binary.BigEndian.PutUint32(block, crc32.Checksum(block[4:], crc32.MakeTable(crc32.Castagnoli)))
	return block
}

// cut gives a block as shards, each in memory of its own, so that a walk over the edge of one is seen.
func cut(block []byte, shard int) [][]byte {
	var shards [][]byte
	for len(block) > 0 {
		n := min(shard, len(block))
		shards = append(shards, append(make([]byte, 0, n), block[:n]...))
		block = block[n:]
	}
	return shards
}

// walked is what one record of a block came to: a body, or the name of its refusal.
type walked struct {
	t       Type
	body    string
	refusal string
}

// walk reads a block to its end.
func walk(t testing.TB, r *Reader) (all []walked) {
	t.Helper()
	for range bundle.MaxRecords + 2 {
		rec, err := r.Next()
		switch {
		case err == io.EOF:
			return all
		case err != nil:
			all = append(all, walked{refusal: refusal(t, err)})
		default:
			if got := rec.Length(); got != len(body(rec)) {
				t.Fatalf("type %d says %d bytes and has %d", rec.Type(), got, len(body(rec)))
			}
			all = append(all, walked{t: rec.Type(), body: string(body(rec))})
		}
	}
	t.Fatal("the walk has no end")
	return nil
}

// read walks a block of bytes that must be accepted as a block.
func read(t testing.TB, block []byte, shard int) []walked {
	t.Helper()
	r, err := ReadBlock(cut(block, shard), testNumber)
	if err != nil {
		t.Fatal(err)
	}
	return walk(t, r)
}

// refusal gives reason and rule of a refusal, which must be one.
func refusal(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *bundle.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("no refusal: %v", err)
	}
	return string(r.Reason) + " " + r.Rule
}

// ruleOf gives the rule that the name of a row begins with.
func ruleOf(name string) string {
	rule, _, _ := strings.Cut(name, " ")
	return rule
}
