package vectors_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

type manifestInput struct {
	Text, Hex string
	Claim     *claim
	Limits    bundle.Limits // a receiver's own
}

// claim is what an offer and a close said of a bundle.
type claim struct {
	Bundle, Tenant, Epoch, Previous, Name, Digest string
	Sequence, Bytes, Size                         uint64
	Files, Dirs, Chunks                           uint32
	ChunkSize                                     uint32 `json:"chunk_size"`
	Created                                       int64
}

func (c claim) parse(t *testing.T) bundle.Claim {
	t.Helper()
	out := bundle.Claim{Tenant: bundle.Name(c.Tenant), Sequence: c.Sequence, Previous: bundle.Digest(unhex(t, c.Previous)), Files: c.Files, Dirs: c.Dirs,
		Bytes: c.Bytes, Chunks: c.Chunks, ChunkSize: c.ChunkSize, Name: c.Name, Created: c.Created, ManifestSize: c.Size,
		ManifestDigest: bundle.Digest(unhex(t, c.Digest))}
	var err error
	if out.Bundle, err = bundle.ParseID(c.Bundle); err != nil {
		t.Fatal(err)
	}
	if out.Epoch, err = bundle.ParseEpoch(c.Epoch); err != nil {
		t.Fatal(err)
	}
	return out
}

// manifestValues are what a manifest holds, as it is written.
type manifestValues struct {
	Bundle, Sender, Receiver, Tenant, Epoch, Previous, Name, Sums, Digest, SHA256Sums string
	Sequence                                                                          uint64
	Created                                                                           int64
	Labels                                                                            [][2]string
	Files, Dirs                                                                       []entry
	ChunkSize                                                                         int `json:"chunk_size"`
	Marks                                                                             []string
	Total                                                                             int64
}

type entry struct {
	Path, Mode, SHA256 string
	Size, Mtime        int64
}

// valuesOf gives what a parsed manifest holds.
func valuesOf(t *testing.T, m *bundle.Manifest) manifestValues {
	t.Helper()
	var sums bytes.Buffer
	if err := bundle.WriteSums(&sums, m.Table); err != nil {
		t.Fatal(err)
	}
	out := manifestValues{Bundle: m.Bundle.String(), Sender: m.Sender.String(), Receiver: m.Receiver.String(), Tenant: m.Tenant.String(), Epoch: m.Epoch.String(),
		Previous: m.Previous.String(), Name: m.Name, Sums: m.Sums.String(), Digest: m.Digest.String(), SHA256Sums: sums.String(), Sequence: m.Sequence,
		Created: m.Created, Labels: [][2]string{}, Files: []entry{}, Dirs: []entry{}, ChunkSize: m.ChunkSize, Marks: []string{}, Total: m.Table.Total()}
	for _, l := range m.Labels {
		out.Labels = append(out.Labels, [2]string{l.Key, l.Value})
	}
	for i := range m.Table.Files() {
		f := m.Table.File(i + 1)
		out.Files = append(out.Files, entry{f.Path.String(), fmt.Sprintf("%04o", f.Mode), f.Digest.String(), f.Size, f.Mtime})
	}
	for i := range m.Table.Dirs() {
		d := m.Table.Dir(i)
		out.Dirs = append(out.Dirs, entry{Path: d.Path.String(), Mode: fmt.Sprintf("%04o", d.Mode), Mtime: d.Mtime})
	}
	for _, mark := range m.Marks {
		out.Marks = append(out.Marks, mark.String())
	}
	return out
}

// make gives the manifest that the values describe, for Go to write. Sums are Go's own to find.
func (w manifestValues) make(t *testing.T) *bundle.Manifest {
	t.Helper()
	c := claim{Bundle: w.Bundle, Tenant: w.Tenant, Epoch: w.Epoch, Previous: w.Previous, Name: w.Name, Digest: w.Digest}.parse(t)
	m := &bundle.Manifest{Header: bundle.Header{Bundle: c.Bundle, Sender: bundle.Name(w.Sender), Receiver: bundle.Digest(unhex(t, w.Receiver)), Tenant: c.Tenant,
		Epoch: c.Epoch, Sequence: w.Sequence, Previous: c.Previous, Created: w.Created, Name: w.Name}, Table: &bundle.Table{}, ChunkSize: w.ChunkSize}
	for _, l := range w.Labels {
		m.Labels = append(m.Labels, bundle.Label{Key: l[0], Value: l[1]})
	}
	mode := func(e entry) (bits uint32) {
		if _, err := fmt.Sscanf(e.Mode, "%o", &bits); err != nil {
			t.Fatal(err)
		}
		return bits
	}
	for _, d := range w.Dirs {
		if err := m.Table.AddDir(bundle.Path(d.Path), mode(d), d.Mtime); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range w.Files {
		n, err := m.Table.AddFile(bundle.Path(f.Path), f.Size, mode(f), f.Mtime)
		if err != nil {
			t.Fatal(err)
		}
		m.Table.SetDigest(n, bundle.Digest(unhex(t, f.SHA256)))
	}
	for _, text := range w.Marks {
		mark, err := bundle.ParseMark(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Marks = append(m.Marks, mark)
	}
	return m
}

func TestManifestsOfSection10(t *testing.T) {
	each(t, "manifests", func(t *testing.T, v vector, in manifestInput) {
		text := in.Text + string(unhex(t, in.Hex))
		m, err := bundle.ParseManifest(strings.NewReader(text), in.Limits)
		if in.Claim != nil {
			if err != nil {
				t.Fatal(err)
			}
			judged(t, v, m.AgreesWith(in.Claim.parse(t)))
			return
		}
		if !judged(t, v, err) {
			return
		}
		want := values[manifestValues](t, v)
		if got := valuesOf(t, m); !reflect.DeepEqual(got, want) {
			t.Errorf("holds\n%+v, should hold\n%+v", got, want)
		}
		if sum := sha256.Sum256([]byte(want.SHA256Sums)); bundle.Digest(sum) != m.Sums {
			t.Errorf("SHA256SUMS has the digest %x, not %s", sum, m.Sums)
		}
		var written bytes.Buffer
		if err := bundle.WriteManifest(&written, want.make(t)); err != nil {
			t.Fatal(err)
		}
		same(t, "manifest", written.Bytes(), []byte(text))
	})
}
