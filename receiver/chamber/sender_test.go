package chamber

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/collect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// low is a sender as the high side knows it: a name, a key, an epoch, and what it counted.
type low struct {
	name  bundle.Name
	epoch bundle.Epoch
	key   ssh.Signer
	heads map[bundle.Name]record.TenantHead

	packed int // items so far
}

// newLow makes a sender whose key and epoch follow from its number.
func newLow(t testing.TB, name bundle.Name, number byte) *low {
	t.Helper()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize)))
	must(t, err)
	return &low{name: name, epoch: bundle.Epoch{number, 1}, key: key, heads: make(map[bundle.Name]record.TenantHead)}
}

// line is the sender's in allowed_signers; options stand before the key.
func (l *low) line(options string) string {
	return string(l.name) + " " + options + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(l.key.PublicKey()))) + "\n"
}

func (l *low) sign(t testing.TB, namespace string, message []byte) []byte {
	t.Helper()
	signature, err := l.key.Sign(rand.Reader, bundle.SignedData(namespace, sha512.Sum512(message)))
	must(t, err)
	return bundle.MarshalSignature(l.key.PublicKey(), namespace, signature)
}

func (l *low) session() collect.SessionInfo {
	return collect.SessionInfo{Sender: l.name, Key: l.key.PublicKey(), Epoch: l.epoch, Number: 1, Link: "a"}
}

// item is one bundle of a sender's, as it goes over the link.
type item struct {
	from   *low
	offer  record.Offer
	close  record.Close
	chunks []record.Chunk
	files  map[string]string // by path
	text   []byte            // its manifest
	head   bundle.Digest     // of that
}

func (i *item) id() bundle.ID { return i.offer.Bundle }

const (
	chunkSize = 4096
	created   = 1_790_000_000
)

var receiverID = bundle.Digest{0xec, 1}

var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))

// small is an item of two directories and three files, one of them empty, over several chunks.
func small(name string) map[string]string {
	return map[string]string{name + "/a": "alpha of " + name, name + "/sub/big": strings.Repeat(name+" of the deep. ", 1000), name + "/sub/none": ""}
}

// large is an item whose content is made durable before the ledger is asked.
func large(name string) map[string]string {
	return map[string]string{name + "/a": strings.Repeat("of the deep. ", syncedApart/13+1)}
}

// table lists files and the directories above them.
func table(t testing.TB, files map[string]string) *bundle.Table {
	t.Helper()
	dirs := make(map[string]bool)
	for name := range files {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	order := func(a, b string) int { return bundle.Compare(bundle.Path(a), bundle.Path(b)) }
	table := new(bundle.Table)
	for _, d := range slices.SortedFunc(maps.Keys(dirs), order) {
		must(t, table.AddDir(bundle.Path(d), 0o700, created))
	}
	for _, name := range slices.SortedFunc(maps.Keys(files), order) {
		n, err := table.AddFile(bundle.Path(name), int64(len(files[name])), 0o600, created)
		must(t, err)
		table.SetDigest(n, sha256.Sum256([]byte(files[name])))
	}
	return table
}

// pack makes the sender's next bundle for a tenant. change may spoil the manifest before it is written and signed.
func (l *low) pack(t testing.TB, tenant bundle.Name, files map[string]string, change ...func(*bundle.Manifest)) *item {
	t.Helper()
	head := l.heads[tenant]
	name, _, _ := strings.Cut(slices.Min(slices.Collect(maps.Keys(files))), "/")
	l.packed++
	sum := sha256.Sum256(fmt.Append(nil, l.name, l.epoch, tenant, head.Sequence, name, l.packed)) // a killed process and its parent make the same
	id := bundle.ID(sum[:16])
	m := &bundle.Manifest{
		Header: bundle.Header{
			Bundle: id, Sender: l.name, Receiver: receiverID, Tenant: tenant, Epoch: l.epoch, Sequence: head.Sequence + 1, Previous: head.Manifest, Created: created, Name: name,
		},
		Table: table(t, files), ChunkSize: chunkSize,
	}
	i := &item{from: l, files: files}
	layout := bundle.NewLayout(m.Table, chunkSize)
	for {
		n, runs, raw, ok := layout.Next()
		if !ok {
			break
		}
		content := make([]byte, 0, raw)
		for _, r := range runs {
			content = append(content, files[string(m.Table.File(int(r.File)).Path)][r.Offset:r.Offset+uint64(r.Length)]...)
		}
		m.Marks = append(m.Marks, bundle.Mark(xxhash.Sum64(content)))
		i.chunks = append(i.chunks, record.Chunk{Bundle: id, Number: uint32(n), Raw: uint32(raw), Runs: slices.Clone(runs), Frame: encoder.EncodeAll(content, nil)})
	}
	for _, f := range change {
		f(m)
	}
	var text bytes.Buffer
	must(t, bundle.WriteManifest(&text, m))
	content := len(i.chunks)
	parts := bundle.ManifestChunks(int64(text.Len()), chunkSize)
	for n := range parts {
		r := bundle.ManifestRun(n, int64(text.Len()), chunkSize)
		i.chunks = append(i.chunks, record.Chunk{
			Bundle: id, Number: uint32(content + n), Raw: r.Length, Runs: []bundle.Run{r}, Frame: encoder.EncodeAll(text.Bytes()[r.Offset:r.Offset+uint64(r.Length)], nil),
		})
	}
	i.offer = record.Offer{
		Bundle: id, Epoch: m.Epoch, Tenant: tenant, Class: bundle.Normal, Files: uint32(m.Table.Files()), Dirs: uint32(m.Table.Dirs()), Bytes: uint64(m.Table.Total()),
		Chunks: uint32(content), ChunkSize: chunkSize, Created: created, Name: name,
	}
	i.close = record.Close{
		Bundle: id, Epoch: m.Epoch, Tenant: tenant, Sequence: m.Sequence, Previous: m.Previous, ManifestSize: uint64(text.Len()), Manifest: m.Digest,
		Chunks: uint32(content), ManifestChunks: uint32(parts), Signature: l.sign(t, bundle.NamespaceBundle, text.Bytes()),
	}
	i.text, i.head = text.Bytes(), m.Digest
	l.heads[tenant] = record.TenantHead{Tenant: tenant, Sequence: m.Sequence, Manifest: m.Digest}
	return i
}

// abandon makes the signed word that a bundle is given up.
func (i *item) abandon(t testing.TB, signer *low) *record.Abandon {
	a := &record.Abandon{Bundle: i.id(), Epoch: i.offer.Epoch, Tenant: i.offer.Tenant, Reason: "it changed while it was read"}
	a.Signature = signer.sign(t, bundle.NamespaceAbandon, bundle.AbandonMessage(a.Bundle, a.Epoch, a.Tenant, a.Reason))
	return a
}

// Parts of an item, to be sent together or one by one.
func (i *item) whole() []record.Record { return i.records(true, true, i.chunks...) }

func (i *item) records(offer, end bool, chunks ...record.Chunk) []record.Record {
	var all []record.Record
	if offer {
		all = append(all, &i.offer)
	}
	if end {
		all = append(all, &i.close)
	}
	for _, c := range chunks {
		all = append(all, &record.Slice{Bundle: c.Bundle, Chunk: c.Number, Raw: c.Raw, Frame: uint32(len(c.Frame)), Runs: c.Runs, Data: [][]byte{c.Frame}})
	}
	return all
}

// block packs records into one block and gives a reader of it.
func block(t testing.TB, records ...record.Record) *record.Reader {
	t.Helper()
	const size = 1408 * 200
	b := record.NewBlock(make([]byte, size))
	for _, r := range records {
		if !r.AppendTo(b) {
			t.Fatal("the records do not fit one block")
		}
	}
	text := b.Seal(1, size)
	var shards [][]byte
	for at := 0; at < len(text); at += 1408 {
		shards = append(shards, text[at:at+1408])
	}
	reader, err := record.ReadBlock(shards, 1)
	must(t, err)
	return reader
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// longEnough is how long something is waited for that other goroutines bring about.
const longEnough = 15 * time.Second

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	before(t, longEnough, what, holds)
}

// patience is how long such a thing may take beside other work: so many times what one bundle takes in a house in which nothing is wrong, at this time, on this machine.
func patience(t *testing.T) time.Duration {
	t.Helper()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("measure"))
	began := time.Now()
	h.receive(i.from, i.whole()...)
	for { // however long it takes: the test's own end is far away
		if r, err := h.ledger.Get(i.id()); err == nil && r.State == ledger.Imported {
			return max(longEnough, 200*time.Since(began))
		}
		time.Sleep(time.Millisecond)
	}
}

// before waits no longer than limit.
func before(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("it never came about: %s", what)
}
