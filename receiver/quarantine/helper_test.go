package quarantine

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/crypto/ssh"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
)

const chunkSize = bundle.ChunkSizeMin

var (
	received = time.Unix(1_800_000_000, 0)
	receiver = bundle.Digest{0xee}
)

// signer makes the same Ed25519 key each time.
func signer(t testing.TB, seed byte) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// allowed is a small allowed_signers.
type allowed map[string]entry // by key

type entry struct {
	name       bundle.Name
	namespaces []string
	from, to   time.Time // zero: always
}

func (a allowed) add(s ssh.Signer, e entry) allowed {
	a[string(s.PublicKey().Marshal())] = e
	return a
}

func (a allowed) Principal(key ssh.PublicKey, namespace string, at time.Time) (bundle.Name, error) {
	e, ok := a[string(key.Marshal())]
	switch {
	case !ok:
		return "", bundle.Reject(bundle.ReasonSignerUnknown, "G-2", "nobody's key")
	case !slices.Contains(e.namespaces, namespace):
		return "", bundle.Reject(bundle.ReasonSignerNamespace, "G-2", "not for %s", namespace)
	case at.Before(e.from):
		return "", bundle.Reject(bundle.ReasonSignerNotYetValid, "G-2", "too early")
	case !e.to.IsZero() && at.After(e.to):
		return "", bundle.Reject(bundle.ReasonSignerExpired, "G-2", "too late")
	}
	return e.name, nil
}

// entries are the dirs and files of a bundle, in order.
type entries struct {
	dirs  []bundle.Path
	paths []bundle.Path
	data  [][]byte
}

func (e *entries) file(path bundle.Path, content []byte) {
	e.paths, e.data = append(e.paths, path), append(e.data, content)
}

// noise gives bytes in which no two chunks are equal.
func noise(seed byte, n int) []byte {
	var out []byte
	for block := [32]byte{seed}; len(out) < n; block = sha256.Sum256(block[:]) {
		out = append(out, block[:]...)
	}
	return out[:n]
}

// tree is one bundle's content: files that span chunks, share them, are empty, and directories that hold nothing. Its chunks of 4,096 bytes:
//
//	0, 1   n/a              2   n/a n/a b n/c        3   n/c n/sub/d        4   n/sub/d n/z
func tree() *entries {
	e := &entries{dirs: []bundle.Path{"n", "n/sub", "n/void"}}
	e.file("n/a", noise(1, 10_000))
	e.file("n/a b", noise(2, 100))
	e.file("n/b", nil)
	e.file("n/c", noise(3, 3000))
	e.file("n/sub/d", noise(4, 5000))
	e.file(`n/z\é`, noise(5, 100))
	return e
}

// parcel is a bundle as a sender makes it.
type parcel struct {
	*entries
	m      *bundle.Manifest
	text   []byte
	signer ssh.Signer
	offer  *record.Offer
	close  *record.Close
}

// order is what a test wants of a parcel.
type order struct {
	tree      *entries
	signer    ssh.Signer
	namespace string
	name      string
	header    func(h *bundle.Header)
	marks     func(m []bundle.Mark)
	text      func(text []byte) []byte // before it is signed
}

func pack(t testing.TB, o order) *parcel {
	t.Helper()
	if o.tree == nil {
		o.tree = tree()
	}
	if o.signer == nil {
		o.signer = signer(t, 1)
	}
	if o.namespace == "" {
		o.namespace = bundle.NamespaceBundle
	}
	if o.name == "" {
		o.name = "n"
	}
	m := &bundle.Manifest{
		Header: bundle.Header{
			Bundle: bundle.ID{1, 2, 3}, Sender: "low", Receiver: receiver, Tenant: "t", Epoch: bundle.Epoch{1}, Sequence: 2, Previous: bundle.Digest{9},
			Created: 1_799_999_999, Name: o.name,
		},
		Table: new(bundle.Table), ChunkSize: chunkSize,
	}
	if o.header != nil {
		o.header(&m.Header)
	}
	p := &parcel{entries: o.tree, m: m, signer: o.signer}
	p.fill(t)
	if o.marks != nil {
		o.marks(m.Marks)
	}
	var text bytes.Buffer
	if err := bundle.WriteManifest(&text, m); err != nil {
		t.Fatal(err)
	}
	p.text = text.Bytes()
	if o.text != nil {
		p.text = o.text(p.text)
	}
	p.say(t, o.namespace)
	return p
}

// fill makes table and marks.
func (p *parcel) fill(t testing.TB) {
	t.Helper()
	for _, d := range p.dirs {
		if err := p.m.Table.AddDir(d, 0o700, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, path := range p.paths {
		n, err := p.m.Table.AddFile(path, int64(len(p.data[i])), 0o500, 1)
		if err != nil {
			t.Fatal(err)
		}
		p.m.Table.SetDigest(n, sha256.Sum256(p.data[i]))
	}
	layout := bundle.NewLayout(p.m.Table, chunkSize)
	for {
		_, runs, _, ok := layout.Next()
		if !ok {
			return
		}
		p.m.Marks = append(p.m.Marks, bundle.Mark(xxhash.Sum64(p.content(runs))))
	}
}

func (p *parcel) content(runs []bundle.Run) (content []byte) {
	for _, r := range runs {
		content = append(content, p.data[r.File-1][r.Offset:r.Offset+uint64(r.Length)]...)
	}
	return content
}

// say makes the signature, the offer and the close.
func (p *parcel) say(t testing.TB, namespace string) {
	t.Helper()
	m := p.m
	p.offer = &record.Offer{
		Bundle: m.Bundle, Epoch: m.Epoch, Tenant: m.Tenant, Class: bundle.Normal, Files: uint32(m.Table.Files()), Dirs: uint32(m.Table.Dirs()), Bytes: uint64(m.Table.Total()),
		Chunks: uint32(len(m.Marks)), ChunkSize: chunkSize, Created: m.Created, Name: m.Name,
	}
	p.close = &record.Close{
		Bundle: m.Bundle, Epoch: m.Epoch, Tenant: m.Tenant, Sequence: m.Sequence, Previous: m.Previous, ManifestSize: uint64(len(p.text)), Manifest: sha256.Sum256(p.text),
		Chunks: uint32(len(m.Marks)), ManifestChunks: uint32(bundle.ManifestChunks(int64(len(p.text)), chunkSize)), Signature: sign(t, p.signer, namespace, p.text),
	}
}

func sign(t testing.TB, s ssh.Signer, namespace string, message []byte) []byte {
	t.Helper()
	signature, err := s.Sign(rand.Reader, bundle.SignedData(namespace, sha512.Sum512(message)))
	if err != nil {
		t.Fatal(err)
	}
	return bundle.MarshalSignature(s.PublicKey(), namespace, signature)
}

// stage writes the parcel as it stands when its every chunk is here.
func (p *parcel) stage(t testing.TB) *assemble.Staged {
	t.Helper()
	s := &assemble.Staged{
		ID: p.m.Bundle, Dir: filepath.Join(t.TempDir(), p.m.Bundle.String()), Source: assemble.Source{Sender: "low", Epoch: p.m.Epoch},
		Offer: p.offer, Close: p.close, Received: received.Unix(),
	}
	for n, content := range append([][]byte{p.text}, p.data...) {
		if len(content) > 0 {
			put(t, assemble.StagedPath(s.Dir, uint32(n)), content)
		}
	}
	return s
}

func put(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(t testing.TB, path string, at int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[at] ^= 1
	put(t, path, content)
}

func trust(t testing.TB) Expect {
	t.Helper()
	all := []string{bundle.NamespaceBundle, bundle.NamespaceAbandon}
	return Expect{
		Signers: allowed{}.add(signer(t, 1), entry{name: "low", namespaces: all}).add(signer(t, 2), entry{name: "other", namespaces: all}),
		Sender:  "low", Receiver: receiver, Received: received,
	}
}

// verdict is a reason and its rule, or what else came.
func verdict(err error) string {
	var r *bundle.Rejection
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &r):
		return string(r.Reason) + " " + r.Rule
	}
	return "error: " + err.Error()
}

// quarantined is a bundle that was verified and built.
func quarantined(t testing.TB, p *parcel) string {
	t.Helper()
	s := p.stage(t)
	signed, err := Verify(disk.New(), s, trust(t))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := Build(disk.New(), s, signed)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// holdsParcel compares a tree on the disk with what was sent, its modes with what quarantine says.
func holdsParcel(t testing.TB, dir string, p *parcel) {
	t.Helper()
	want := map[string]string{"manifest.json": string(p.text), "manifest.json.sig": string(bundle.Armor(p.close.Signature)), ".": "", "files": ""}
	var sums bytes.Buffer
	if err := bundle.WriteSums(&sums, p.m.Table); err != nil {
		t.Fatal(err)
	}
	want["SHA256SUMS"] = sums.String()
	for _, d := range p.dirs {
		want["files/"+string(d)] = ""
	}
	for i, f := range p.paths {
		want["files/"+string(f)] = string(p.data[i])
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		content, known := want[rel]
		delete(want, rel)
		mode := os.FileMode(fileMode)
		if e.IsDir() {
			mode = os.ModeDir | dirMode
		}
		if !known || info.Mode() != mode {
			t.Errorf("%q: known %v, mode %v, want %v", rel, known, info.Mode(), mode)
		}
		if e.IsDir() {
			return nil
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%q: %d bytes, want %d, equal: %v, %v", rel, len(got), len(content), string(got) == content, err)
		}
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; missing are %q", err, slices.Sorted(maps.Keys(want)))
	}
}
