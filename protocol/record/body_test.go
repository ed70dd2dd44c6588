package record

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

// unhex reads hexadecimal text with spaces in it.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func id(first string) string { return first + strings.Repeat("00", 15) }
func digest(s string) string { return s + strings.Repeat("00", 31) }

func TestBodiesHaveTheExactBytesOfSection7(t *testing.T) {
	signature := "0040" + strings.Repeat("09", 64)
	rows := []struct {
		record Record
		fresh  parser
		want   string
	}{
		{goodOffer(), &Offer{}, id("01") + id("02") + "04 63737366 01 00000003 00000004 0000000000000005 00000006 00001000 0000000000000007 0001 6e"},
		{goodClose(), &Close{}, id("01") + id("02") + "04 63737366 0000000000000003" + digest("04") + "0000000000000005" + digest("06") + "00000007 00000008" + signature},
		{goodAbandon(), &Abandon{}, id("01") + id("02") + "04 63737366 0a 6974206368616e676564" + signature},
		{goodHeartbeat(), &Heartbeat{}, "fffffffffffffffe" + id("02") + digest("03") + "00000004 0000000000000005 0002" +
			"01 61 0000000000000006" + digest("07") + "01 62 0000000000000000" + digest("00")},
		{goodSlice(), &Slice{}, id("01") + "00000002 0000012c 00000064 00000000 0002" + "00000004 0000000000000005 00000064" +
			"00000006 0000000000000000 000000c8" + hex.EncodeToString([]byte("data"))},
	}
	for _, row := range rows {
		want := unhex(t, row.want)
		name := reflect.TypeOf(row.record).String()
		if got := body(row.record); !bytes.Equal(got, want) || row.record.Length() != len(want) {
			t.Errorf("%s: got  %x\nwant %x, length %d", name, got, want, row.record.Length())
			continue
		}
		if err := row.fresh.Parse(want); err != nil || !bytes.Equal(body(row.fresh), want) {
			t.Errorf("%s: does not come back: %v", name, err)
		}
		rest := 0
		if row.record.Type() == TypeSlice {
			rest = len("data") - 1 // a slice with less content is another slice
		}
		for n := range len(want) - rest {
			if got := refusal(t, row.fresh.Parse(want[:n])); got != "record-body R-3" {
				t.Errorf("R-3 %s: the first %d bytes give %q", name, n, got)
			}
		}
		if row.record.Type() != TypeSlice {
			if got := refusal(t, row.fresh.Parse(append(want, 0))); got != "record-body R-3" {
				t.Errorf("R-3 %s: a byte too many gives %q", name, got)
			}
		}
	}
}

func TestAnAbandonIsSignedOverItsFieldsOfR9(t *testing.T) {
	a := goodAbandon()
	fields := body(a)[:a.Length()-2-len(a.Signature)]
	if got := bundle.AbandonMessage(a.Bundle, a.Epoch, a.Tenant, a.Reason); string(got) != "ecluse abandon 1\n"+string(fields) {
		t.Fatalf("R-9: signed %q, sent %q", got, fields)
	}
}

// Each row changes one good record. The rule in its name refuses it, or nothing does where the name ends in "(allowed)".
func TestBodiesOfR3(t *testing.T) {
	offer := func(f func(o *Offer)) Record { o := goodOffer(); f(o); return o }
	slice := func(f func(s *Slice)) Record { s := goodSlice(); f(s); return s }
	closing := func(f func(c *Close)) Record { c := goodClose(); f(c); return c }
	abandon := func(f func(a *Abandon)) Record { a := goodAbandon(); f(a); return a }
	heartbeat := func(f func(h *Heartbeat)) Record { h := goodHeartbeat(); f(h); return h }
	long := strings.Repeat("x", 256)
	runs := func(r ...bundle.Run) func(*Slice) { return func(s *Slice) { s.Runs = r } }
	manyRuns := func(n int) func(*Slice) {
		return func(s *Slice) {
			s.Runs, s.Raw = make([]bundle.Run, n), uint32(n)
			for i := range s.Runs {
				s.Runs[i] = bundle.Run{File: uint32(i) + 1, Length: 1}
			}
		}
	}
	heads := func(n int) func(*Heartbeat) {
		return func(h *Heartbeat) {
			h.Tenants = make([]TenantHead, n)
			for i := range h.Tenants {
				h.Tenants[i].Tenant = bundle.Name("t" + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26)))
			}
		}
	}
	rows := []struct {
		name   string
		record Record
	}{
		{"R-3 offer, bundle of zeroes", offer(func(o *Offer) { o.Bundle = bundle.ID{} })},
		{"R-3 offer, epoch of zeroes", offer(func(o *Offer) { o.Epoch = bundle.Epoch{} })},
		{"R-3 offer, no tenant", offer(func(o *Offer) { o.Tenant = "" })},
		{"R-3 offer, tenant of 64 (allowed)", offer(func(o *Offer) { o.Tenant = bundle.Name(long[:64]) })},
		{"R-3 offer, tenant of 65", offer(func(o *Offer) { o.Tenant = bundle.Name(long[:65]) })},
		{"R-3 offer, tenant with a slash", offer(func(o *Offer) { o.Tenant = "a/b" })},
		{"R-3 offer, tenant with a capital", offer(func(o *Offer) { o.Tenant = "A" })},
		{"R-3 offer, class 0", offer(func(o *Offer) { o.Class = 0 })},
		{"R-3 offer, class 3 (allowed)", offer(func(o *Offer) { o.Class = 3 })},
		{"R-3 offer, class 4", offer(func(o *Offer) { o.Class = 4 })},
		{"R-3 offer, every total at its limit (allowed)", offer(func(o *Offer) { o.Files, o.Dirs, o.Bytes, o.Chunks = 1e6, 1e6, 1<<46, 1<<24 })},
		{"R-3 offer, a file too many", offer(func(o *Offer) { o.Files = 1e6 + 1 })},
		{"R-3 offer, a directory too many", offer(func(o *Offer) { o.Dirs = 1e6 + 1 })},
		{"R-3 offer, a byte too many", offer(func(o *Offer) { o.Bytes = 1<<46 + 1 })},
		{"R-3 offer, a chunk too many", offer(func(o *Offer) { o.Chunks = 1<<24 + 1 })},
		{"R-3 offer, chunk size 0", offer(func(o *Offer) { o.ChunkSize = 0 })},
		{"R-3 offer, chunk size 2,048", offer(func(o *Offer) { o.ChunkSize = 2048 })},
		{"R-3 offer, chunk size 4,097", offer(func(o *Offer) { o.ChunkSize = 4097 })},
		{"R-3 offer, chunk size 4 MiB (allowed)", offer(func(o *Offer) { o.ChunkSize = 4 << 20 })},
		{"R-3 offer, chunk size 8 MiB", offer(func(o *Offer) { o.ChunkSize = 8 << 20 })},
		{"R-3 offer, created before 1970", offer(func(o *Offer) { o.Created = -1 })},
		{"R-3 offer, created in 9999 (allowed)", offer(func(o *Offer) { o.Created = 253402300799 })},
		{"R-3 offer, created in 10000", offer(func(o *Offer) { o.Created = 253402300800 })},
		{"R-3 offer, no name", offer(func(o *Offer) { o.Name = "" })},
		{"R-3 offer, name of 255 (allowed)", offer(func(o *Offer) { o.Name = long[:255] })},
		{"R-3 offer, name of 256", offer(func(o *Offer) { o.Name = long })},
		{"R-3 offer, name of two components", offer(func(o *Offer) { o.Name = "a/b" })},
		{"R-3 offer, name ..", offer(func(o *Offer) { o.Name = ".." })},
		{"R-3 offer, name with an escape", offer(func(o *Offer) { o.Name = "a\x1b[2J" })},
		{"R-3 offer, name that is no UTF-8", offer(func(o *Offer) { o.Name = "\xff" })},

		{"R-3 slice, bundle of zeroes", slice(func(s *Slice) { s.Bundle = bundle.ID{} })},
		{"R-3 slice, the last chunk (allowed)", slice(func(s *Slice) { s.Chunk = 1<<24 + 1<<18 - 1 })},
		{"R-3 slice, a chunk too many", slice(func(s *Slice) { s.Chunk = 1<<24 + 1<<18 })},
		{"R-3 slice, raw of 0", slice(func(s *Slice) { s.Raw = 0 })},
		{"R-3 slice, raw of 4 MiB (allowed)", slice(func(s *Slice) { s.Raw = 4 << 20; s.Runs = []bundle.Run{{File: 1, Length: 4 << 20}} })},
		{"R-3 slice, raw of more", slice(func(s *Slice) { s.Raw = 4<<20 + 1; s.Runs = []bundle.Run{{File: 1, Length: 4<<20 + 1}} })},
		{"R-3 slice, frame of 0", slice(func(s *Slice) { s.Frame = 0 })},
		{"R-3 slice, frame at its limit (allowed)", slice(func(s *Slice) { s.Frame = 300 + 2 + 1024 })},
		{"R-3 slice, frame above its limit", slice(func(s *Slice) { s.Frame = 300 + 2 + 1025 })},
		{"R-3 slice, no content", slice(func(s *Slice) { s.Data = nil })},
		{"R-3 slice, 2,048 runs (allowed)", slice(manyRuns(2048))},
		{"R-3 slice, 2,049 runs", slice(manyRuns(2049))},
		{"R-6 slice, it fills its frame (allowed)", slice(func(s *Slice) { s.Frame = 4 })},
		{"R-6 slice, it ends behind its frame", slice(func(s *Slice) { s.Frame = 3 })},
		{"R-6 slice, offset near 2^32", slice(func(s *Slice) { s.Offset, s.Runs = 1<<32-1, nil })},
		{"R-6 slice, no runs at offset 0", slice(runs())},
		{"R-6 slice, runs at another offset", slice(func(s *Slice) { s.Offset = 1 })},
		{"R-6 slice, no runs at another offset (allowed)", slice(func(s *Slice) { s.Offset, s.Runs = 1, nil })},
		{"R-6 slice, runs that are too short", slice(runs(bundle.Run{File: 1, Length: 299}))},
		{"R-6 slice, runs that are too long", slice(runs(bundle.Run{File: 1, Length: 301}))},
		{"R-6 slice, runs that wrap at 2^32", slice(runs(bundle.Run{File: 1, Length: 1<<32 - 1}, bundle.Run{File: 2, Length: 301}))},
		{"R-6 slice, an empty run", slice(runs(bundle.Run{File: 1, Length: 300}, bundle.Run{File: 2}))},
		{"R-6 slice, a file twice", slice(runs(bundle.Run{File: 1, Length: 100}, bundle.Run{File: 1, Length: 200}))},
		{"R-6 slice, files that fall", slice(runs(bundle.Run{File: 2, Length: 100}, bundle.Run{File: 1, Length: 200}))},
		{"R-6 slice, a later run that begins inside", slice(runs(bundle.Run{File: 1, Length: 100}, bundle.Run{File: 2, Offset: 1, Length: 200}))},
		{"R-3 slice, the last file (allowed)", slice(runs(bundle.Run{File: 1e6, Length: 300}))},
		{"R-3 slice, a file too many", slice(runs(bundle.Run{File: 1e6 + 1, Length: 300}))},
		{"R-3 slice, the end of the largest bundle (allowed)", slice(runs(bundle.Run{File: 1, Offset: 1<<46 - 300, Length: 300}))},
		{"R-3 slice, a run behind it", slice(runs(bundle.Run{File: 1, Offset: 1<<46 - 299, Length: 300}))},
		{"R-3 slice, a run that wraps at 2^64", slice(runs(bundle.Run{File: 1, Offset: 1<<64 - 1, Length: 300}))},
		{"R-8 slice, the end of the largest manifest (allowed)", slice(runs(bundle.Run{Offset: 1<<29 - 300, Length: 300}))},
		{"R-3 slice, a run of the manifest behind it", slice(runs(bundle.Run{Offset: 1<<29 - 299, Length: 300}))},
		{"R-8 slice, manifest and content in one chunk", slice(runs(bundle.Run{File: 0, Length: 100}, bundle.Run{File: 1, Length: 200}))},

		{"R-3 close, bundle of zeroes", closing(func(c *Close) { c.Bundle = bundle.ID{} })},
		{"R-3 close, epoch of zeroes", closing(func(c *Close) { c.Epoch = bundle.Epoch{} })},
		{"R-3 close, tenant that ends in a dot", closing(func(c *Close) { c.Tenant = "a." })},
		{"R-3 close, sequence 0", closing(func(c *Close) { c.Sequence, c.Previous = 0, bundle.Digest{} })},
		{"R-3 close, sequence 1 (allowed)", closing(func(c *Close) { c.Sequence, c.Previous = 1, bundle.Digest{} })},
		{"R-3 close, sequence 1 with a manifest before", closing(func(c *Close) { c.Sequence = 1 })},
		{"R-3 close, sequence 2 without", closing(func(c *Close) { c.Sequence, c.Previous = 2, bundle.Digest{} })},
		{"R-3 close, the highest sequence (allowed)", closing(func(c *Close) { c.Sequence = 1<<53 - 1 })},
		{"R-3 close, a higher one", closing(func(c *Close) { c.Sequence = 1 << 53 })},
		{"R-3 close, an empty manifest", closing(func(c *Close) { c.ManifestSize = 0 })},
		{"R-3 close, the largest manifest (allowed)", closing(func(c *Close) { c.ManifestSize, c.ManifestChunks, c.Chunks = 1<<29, 1<<18, 1<<24 })},
		{"R-3 close, a larger one", closing(func(c *Close) { c.ManifestSize = 1<<29 + 1 })},
		{"R-3 close, a chunk too many", closing(func(c *Close) { c.Chunks = 1<<24 + 1 })},
		{"R-3 close, no chunk of a manifest", closing(func(c *Close) { c.ManifestChunks = 0 })},
		{"R-3 close, a chunk of the manifest too many", closing(func(c *Close) { c.ManifestChunks = 1<<18 + 1 })},
		{"R-3 close, signature of 63", closing(func(c *Close) { c.Signature = c.Signature[:63] })},
		{"R-3 close, signature of 8,192 (allowed)", closing(func(c *Close) { c.Signature = make([]byte, 8192) })},
		{"R-3 close, signature of 8,193", closing(func(c *Close) { c.Signature = make([]byte, 8193) })},

		{"R-3 abandon, bundle of zeroes", abandon(func(a *Abandon) { a.Bundle = bundle.ID{} })},
		{"R-3 abandon, epoch of zeroes", abandon(func(a *Abandon) { a.Epoch = bundle.Epoch{} })},
		{"R-3 abandon, tenant with a space", abandon(func(a *Abandon) { a.Tenant = "a b" })},
		{"R-3 abandon, no reason", abandon(func(a *Abandon) { a.Reason = "" })},
		{"R-3 abandon, reason of 255 (allowed)", abandon(func(a *Abandon) { a.Reason = long[:255] })},
		{"R-3 abandon, reason in another script (allowed)", abandon(func(a *Abandon) { a.Reason = "зменіўся, été ✓" })},
		{"R-3 abandon, reason with a line feed", abandon(func(a *Abandon) { a.Reason = "a\nb" })},
		{"R-3 abandon, reason with an escape", abandon(func(a *Abandon) { a.Reason = "a\x1b[2J" })},
		{"R-3 abandon, reason with C1", abandon(func(a *Abandon) { a.Reason = "a\u009b2J" })},
		{"R-3 abandon, reason that runs backwards", abandon(func(a *Abandon) { a.Reason = "a\u202eb" })},
		{"R-3 abandon, reason that is no UTF-8", abandon(func(a *Abandon) { a.Reason = "a\xc0\x80" })},
		{"R-3 abandon, signature of 63", abandon(func(a *Abandon) { a.Signature = a.Signature[:63] })},
		{"R-3 abandon, signature of 8,192 (allowed)", abandon(func(a *Abandon) { a.Signature = make([]byte, 8192) })},

		{"R-3 heartbeat, epoch of zeroes", heartbeat(func(h *Heartbeat) { h.Epoch = bundle.Epoch{} })},
		{"R-3 heartbeat, no tenants (allowed)", heartbeat(func(h *Heartbeat) { h.Tenants = nil })},
		{"R-3 heartbeat, 1,024 tenants (allowed)", heartbeat(heads(1024))},
		{"R-3 heartbeat, 1,025 tenants", heartbeat(heads(1025))},
		{"R-3 heartbeat, tenant without a name", heartbeat(func(h *Heartbeat) { h.Tenants[0].Tenant = "" })},
		{"R-3 heartbeat, sequence without a manifest", heartbeat(func(h *Heartbeat) { h.Tenants[0].Manifest = bundle.Digest{} })},
		{"R-3 heartbeat, manifest without a sequence", heartbeat(func(h *Heartbeat) { h.Tenants[0].Sequence = 0 })},
		{"R-3 heartbeat, the highest sequence (allowed)", heartbeat(func(h *Heartbeat) { h.Tenants[0].Sequence = 1<<53 - 1 })},
		{"R-3 heartbeat, a higher one", heartbeat(func(h *Heartbeat) { h.Tenants[0].Sequence = 1 << 53 })},
		{"R-10 heartbeat, a tenant twice", heartbeat(func(h *Heartbeat) { h.Tenants[1].Tenant = "a" })},
		{"R-10 heartbeat, tenants that fall", heartbeat(func(h *Heartbeat) { h.Tenants[0].Tenant = "c" })},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			reason := "record-body "
			if rule := ruleOf(row.name); rule == "R-6" || rule == "R-8" {
				reason = "chunk-layout "
			}
			want := []walked{{refusal: reason + ruleOf(row.name)}}
			allowed := strings.HasSuffix(row.name, "(allowed)")
			if allowed {
				want = []walked{{t: row.record.Type(), body: string(body(row.record))}}
			}
			size := 1 << 18
			records := raw(row.record.Type(), body(row.record))
			for _, shard := range []int{64, 1 << 18} {
				if got := read(t, frame(records, size), shard); !reflect.DeepEqual(got, want) {
					t.Errorf("shards of %d: %.100q, want %.100q", shard, got, want)
				}
			}
			defer func() {
				if (recover() == nil) != allowed {
					t.Errorf("writing it panics: %v", allowed)
				}
			}()
			block := NewBlock(make([]byte, size))
			if !row.record.AppendTo(block) || string(block.buf[BlockHeaderSize:block.used]) != string(records) {
				t.Error("it is written otherwise")
			}
		})
	}
}
