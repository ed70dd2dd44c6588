package quarantine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
)

func TestAnHonestBundleIsVerified(t *testing.T) {
	one := &entries{}
	one.file("n", noise(7, 9000))
	empty := &entries{}
	empty.file("n", nil)
	for name, tree := range map[string]*entries{"a tree": tree(), "one file": one, "an empty file": empty, "an empty directory": {dirs: []bundle.Path{"n"}}} {
		t.Run(name, func(t *testing.T) {
			p := pack(t, order{tree: tree})
			s := p.stage(t)
			signed, err := Verify(disk.New(), s, trust(t))
			if err != nil {
				t.Fatal(err)
			}
			if signed.Digest != p.close.Manifest || signed.Manifest.Digest != p.close.Manifest || !bytes.Equal(signed.Signature, p.close.Signature) ||
				!bytes.Equal(signed.Key.Marshal(), p.signer.PublicKey().Marshal()) || signed.Manifest.Sequence != 2 {
				t.Errorf("verified is %+v", signed)
			}
			dir, err := Build(disk.New(), s, signed)
			if err != nil || dir != filepath.Join(s.Dir, "whole") {
				t.Fatalf("%s, %v", dir, err)
			}
			holdsParcel(t, dir, p)
			checked, err := Check(disk.New(), dir, trust(t))
			if err != nil || checked.Digest != signed.Digest {
				t.Errorf("%+v, %v", checked, err)
			}
			if read, err := ReadSigned(disk.New(), dir, trust(t)); err != nil || read.Digest != signed.Digest || read.Manifest.Table.Total() != signed.Manifest.Table.Total() {
				t.Errorf("%+v, %v", read, err)
			}
		})
	}
}

// Each fault of a sender's, and the reason that it is refused with.
func TestEachFaultOfASenderHasItsReason(t *testing.T) {
	forged := func(t *testing.T) *parcel { return pack(t, order{signer: signer(t, 9)}) }
	header := func(f func(h *bundle.Header)) func(*testing.T) *parcel {
		return func(t *testing.T) *parcel { return pack(t, order{header: f}) }
	}
	honest := func(t *testing.T) *parcel { return pack(t, order{}) }
	says := func(f func(p *parcel)) func(*testing.T) *parcel {
		return func(t *testing.T) *parcel { p := pack(t, order{}); f(p); return p }
	}
	both := func(f func(o *record.Offer, c *record.Close)) func(*testing.T) *parcel {
		return says(func(p *parcel) { f(p.offer, p.close) })
	}
	for name, c := range map[string]struct {
		make   func(t *testing.T) *parcel
		expect func(e *Expect)
		want   string
	}{
		"nothing":                           {honest, nil, "accepted"},
		"a flipped byte in the signature":   {says(func(p *parcel) { p.close.Signature[len(p.close.Signature)-1] ^= 1 }), nil, "signature-invalid G-1"},
		"a flipped byte in its key":         {says(func(p *parcel) { p.close.Signature[40] ^= 1 }), nil, "signature-invalid G-1"},
		"a flipped byte in its envelope":    {says(func(p *parcel) { p.close.Signature[0] ^= 1 }), nil, "signature-format G-1"},
		"a byte left over":                  {says(func(p *parcel) { p.close.Signature = append(p.close.Signature, 0) }), nil, "signature-format G-1"},
		"a signature of another text":       {says(func(p *parcel) { p.close.Signature = sign(t, p.signer, bundle.NamespaceBundle, []byte("x")) }), nil, "signature-invalid G-1"},
		"another namespace":                 {func(t *testing.T) *parcel { return pack(t, order{namespace: bundle.NamespaceSession}) }, nil, "signature-format G-1"},
		"nobody's key":                      {forged, nil, "signer-unknown G-2"},
		"another principal's key":           {func(t *testing.T) *parcel { return pack(t, order{signer: signer(t, 2)}) }, nil, "signer-other G-2"},
		"another principal's session":       {honest, func(e *Expect) { e.Sender = "other" }, "signer-other G-2"},
		"a key for something else":          {honest, key(t, entry{name: "low", namespaces: []string{bundle.NamespaceSession}}), "signer-namespace G-2"},
		"a key that expired before":         {honest, key(t, entry{name: "low", namespaces: []string{bundle.NamespaceBundle}, to: received.Add(-time.Second)}), "signer-expired G-2"},
		"a key that expires at that second": {honest, key(t, entry{name: "low", namespaces: []string{bundle.NamespaceBundle}, to: received}), "accepted"},
		"a key not valid yet":               {honest, key(t, entry{name: "low", namespaces: []string{bundle.NamespaceBundle}, from: received.Add(time.Second)}), "signer-not-yet-valid G-2"},
		"another sender's name":             {header(func(h *bundle.Header) { h.Sender = "other" }), nil, "manifest-sender M-8"},
		"another receiver":                  {header(func(h *bundle.Header) { h.Receiver = bundle.Digest{1} }), nil, "manifest-receiver M-8"},
		"no manifest at all":                {func(t *testing.T) *parcel { return pack(t, order{text: func([]byte) []byte { return []byte("{}\n") }}) }, nil, "manifest-syntax M-1"},
		"a manifest and a byte": {func(t *testing.T) *parcel {
			return pack(t, order{text: func(b []byte) []byte { return append(b, '\n') }})
		}, nil, "manifest-syntax M-1"},
		"a name that portable refuses":         {portable("n/con"), func(e *Expect) { e.Names = bundle.Portable }, "path-portable N-4"},
		"a name that linux takes":              {portable("n/con"), nil, "accepted"},
		"names of one case":                    {portable("n/A", "n/a"), func(e *Expect) { e.Names = bundle.Portable }, "path-collision N-4"},
		"offer and close of other tenants":     {both(func(o *record.Offer, _ *record.Close) { o.Tenant = "u" }), nil, "manifest-mismatch M-7"},
		"offer and close of other epochs":      {both(func(_ *record.Offer, c *record.Close) { c.Epoch = bundle.Epoch{2} }), nil, "manifest-mismatch M-7"},
		"offer and close of other chunks":      {both(func(_ *record.Offer, c *record.Close) { c.Chunks++ }), nil, "manifest-mismatch M-7"},
		"both of another tenant":               {both(func(o *record.Offer, c *record.Close) { o.Tenant, c.Tenant = "u", "u" }), nil, "manifest-mismatch M-7"},
		"both of another epoch":                {both(func(o *record.Offer, c *record.Close) { o.Epoch, c.Epoch = bundle.Epoch{2}, bundle.Epoch{2} }), nil, "manifest-mismatch M-7"},
		"both of other chunks":                 {both(func(o *record.Offer, c *record.Close) { o.Chunks++; c.Chunks++ }), nil, "manifest-mismatch M-7"},
		"another sequence":                     {both(func(_ *record.Offer, c *record.Close) { c.Sequence++ }), nil, "manifest-mismatch M-7"},
		"another predecessor":                  {both(func(_ *record.Offer, c *record.Close) { c.Previous[0]++ }), nil, "manifest-mismatch M-7"},
		"another bundle":                       {both(func(o *record.Offer, c *record.Close) { o.Bundle, c.Bundle = bundle.ID{8}, bundle.ID{8} }), nil, "manifest-mismatch M-7"},
		"an offer and a close of two bundles":  {both(func(_ *record.Offer, c *record.Close) { c.Bundle = bundle.ID{8} }), nil, "manifest-mismatch M-7"},
		"more files":                           {both(func(o *record.Offer, _ *record.Close) { o.Files++ }), nil, "manifest-mismatch M-7"},
		"fewer directories":                    {both(func(o *record.Offer, _ *record.Close) { o.Dirs-- }), nil, "manifest-mismatch M-7"},
		"fewer bytes":                          {both(func(o *record.Offer, _ *record.Close) { o.Bytes-- }), nil, "manifest-mismatch M-7"},
		"another chunk size":                   {both(func(o *record.Offer, _ *record.Close) { o.ChunkSize *= 2 }), nil, "manifest-mismatch M-7"},
		"another name":                         {both(func(o *record.Offer, _ *record.Close) { o.Name = "m" }), nil, "manifest-mismatch M-7"},
		"another time":                         {both(func(o *record.Offer, _ *record.Close) { o.Created++ }), nil, "manifest-mismatch M-7"},
		"chunks of the manifest out of number": {both(func(_ *record.Offer, c *record.Close) { c.ManifestChunks++ }), nil, "manifest-mismatch M-7"},
	} {
		t.Run(name, func(t *testing.T) {
			e := trust(t)
			if c.expect != nil {
				c.expect(&e)
			}
			s := c.make(t).stage(t)
			signed, err := Verify(disk.New(), s, e)
			if verdict(err) != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			if _, there := os.Lstat(filepath.Join(s.Dir, "whole")); (err == nil) != (signed != nil) || there == nil {
				t.Errorf("something was built of it: %v", there)
			}
		})
	}
}

func key(t *testing.T, e entry) func(*Expect) {
	return func(x *Expect) { x.Signers = allowed{}.add(signer(t, 1), e) }
}

func portable(paths ...bundle.Path) func(*testing.T) *parcel {
	return func(t *testing.T) *parcel {
		e := &entries{dirs: []bundle.Path{"n"}}
		for i, p := range paths {
			e.file(p, noise(byte(i), 10))
		}
		return pack(t, order{tree: e})
	}
}

// Content that does not match is no refusal: exactly the wrong chunks are missing again.
func TestWrongContentNamesExactlyTheWrongChunks(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(t *testing.T, s *assemble.Staged)
		chunks []uint32
		files  []uint32
	}{
		"a byte in the first chunk":          {flipped(1, 0), []uint32{0}, []uint32{1}},
		"the last byte of it":                {flipped(1, 4095), []uint32{0}, []uint32{1}},
		"the first byte of the next":         {flipped(1, 4096), []uint32{1}, []uint32{1}},
		"a byte in a chunk of several files": {flipped(2, 0), []uint32{2}, []uint32{2}},
		"a byte in each of three files":      {several(flipped(1, 9999), flipped(4, 2500), flipped(6, 99)), []uint32{2, 3, 4}, []uint32{1, 4, 6}},
		"two bytes of one file":              {several(flipped(5, 0), flipped(5, 4999)), []uint32{3, 4}, []uint32{5}},
		"a file cut short":                   {size(1, 5000), []uint32{1, 2}, []uint32{1}},
		"a file cut to nothing":              {size(5, 0), []uint32{3, 4}, []uint32{5}},
		"a file that is not there":           {gone(5), []uint32{3, 4}, []uint32{5}},
		"a small file that is not there":     {gone(2), []uint32{2}, []uint32{2}},
		"a byte of the manifest":             {flipped(0, 700), []uint32{5}, []uint32{0}},
		"the last byte of the manifest":      {flipped(0, -1), []uint32{5}, []uint32{0}},
		"a manifest and a byte":              {size(0, 5000), []uint32{5}, []uint32{0}},
		"no manifest":                        {gone(0), []uint32{5}, []uint32{0}},
	} {
		t.Run(name, func(t *testing.T) {
			p := pack(t, order{})
			s := p.stage(t)
			c.do(t, s)
			_, err := Verify(disk.New(), s, trust(t))
			var wrong *WrongContent
			if !errors.As(err, &wrong) || fmt.Sprint(wrong.Chunks) != fmt.Sprint(c.chunks) || fmt.Sprint(wrong.Files) != fmt.Sprint(c.files) || verdict(err)[:6] != "error:" {
				t.Fatalf("%v: %+v, want chunks %v of files %v", err, wrong, c.chunks, c.files)
			}
			p.repair(t, s, wrong.Chunks)
			signed, err := Verify(disk.New(), s, trust(t))
			if err != nil {
				t.Fatalf("after the repair: %v", err)
			}
			dir, err := Build(disk.New(), s, signed)
			if err != nil {
				t.Fatal(err)
			}
			holdsParcel(t, dir, p)
		})
	}
}

// repair writes chunks as the assembler does when they come again: in place, by number, never cutting a file short.
func (p *parcel) repair(t *testing.T, s *assemble.Staged, chunks []uint32) {
	t.Helper()
	layout := bundle.NewLayout(p.m.Table, chunkSize)
	for _, c := range chunks {
		if c >= p.offer.Chunks {
			r := bundle.ManifestRun(int(c-p.offer.Chunks), int64(len(p.text)), chunkSize)
			if err := os.Truncate(assemble.StagedPath(s.Dir, 0), int64(len(p.text))); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			p.write(t, s, r, p.text)
			continue
		}
		layout.Seek(int(c))
		_, runs, _, _ := layout.Next()
		for _, r := range runs {
			p.write(t, s, r, p.data[r.File-1])
		}
	}
}

func (p *parcel) write(t *testing.T, s *assemble.Staged, r bundle.Run, content []byte) {
	t.Helper()
	f, err := os.OpenFile(assemble.StagedPath(s.Dir, r.File), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content[r.Offset:r.Offset+uint64(r.Length)], int64(r.Offset)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

type damage = func(t *testing.T, s *assemble.Staged)

func flipped(file uint32, at int) damage {
	return func(t *testing.T, s *assemble.Staged) {
		path := assemble.StagedPath(s.Dir, file)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, path, (at+int(info.Size()))%int(info.Size()))
	}
}

func several(all ...damage) damage {
	return func(t *testing.T, s *assemble.Staged) {
		for _, d := range all {
			d(t, s)
		}
	}
}

func size(file uint32, n int64) damage {
	return func(t *testing.T, s *assemble.Staged) {
		if err := os.Truncate(assemble.StagedPath(s.Dir, file), n); err != nil {
			t.Fatal(err)
		}
	}
}

func gone(file uint32) damage {
	return func(t *testing.T, s *assemble.Staged) {
		if err := os.Remove(assemble.StagedPath(s.Dir, file)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAManifestOfSeveralChunksIsMissingWhole(t *testing.T) {
	e := &entries{dirs: []bundle.Path{"n"}}
	for i := range 100 {
		e.file(bundle.Path(fmt.Sprintf("n/%03d", i)), noise(byte(i), 100))
	}
	p := pack(t, order{tree: e})
	s := p.stage(t)
	flip(t, assemble.StagedPath(s.Dir, 0), 0)
	_, err := Verify(disk.New(), s, trust(t))
	var wrong *WrongContent
	if !errors.As(err, &wrong) || len(wrong.Chunks) != int(p.close.ManifestChunks) || wrong.Chunks[0] != p.offer.Chunks || len(wrong.Chunks) < 3 {
		t.Fatalf("%v: %+v", err, wrong)
	}
	p.repair(t, s, wrong.Chunks)
	if _, err := Verify(disk.New(), s, trust(t)); err != nil {
		t.Error(err)
	}
}

// A manifest whose marks and digests cannot both be right is its sender's fault: no repair would end it.
func TestAManifestThatContradictsItselfIsRefused(t *testing.T) {
	p := pack(t, order{})
	p.m.Table.SetDigest(4, bundle.Digest{1})
	var text bytes.Buffer
	if err := bundle.WriteManifest(&text, p.m); err != nil {
		t.Fatal(err)
	}
	p.text = text.Bytes()
	p.say(t, bundle.NamespaceBundle)
	if _, err := Verify(disk.New(), p.stage(t), trust(t)); verdict(err) != "content-mismatch M-5" {
		t.Errorf("digest: %v", err)
	}
	s := pack(t, order{}).stage(t)
	f, err := os.OpenFile(assemble.StagedPath(s.Dir, 6), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("more")
	f.Close()
	if _, err := Verify(disk.New(), s, trust(t)); verdict(err) != "content-mismatch M-5" {
		t.Errorf("a file that goes on behind its end: %v", err)
	}
	// Marks say where, never whether: right content is right.
	if _, err := Verify(disk.New(), pack(t, order{marks: func(m []bundle.Mark) { m[0]++ }}).stage(t), trust(t)); err != nil {
		t.Errorf("marks: %v", err)
	}
}

func TestASmallMessageIsVerified(t *testing.T) {
	message := []byte("m")
	good := sign(t, signer(t, 1), bundle.NamespaceAbandon, message)
	for name, c := range map[string]struct {
		blob      []byte
		namespace string
		message   string
		want      string
	}{
		"honest":            {good, bundle.NamespaceAbandon, "m", "accepted"},
		"another message":   {good, bundle.NamespaceAbandon, "n", "signature-invalid G-1"},
		"another namespace": {good, bundle.NamespaceBundle, "m", "signature-format G-1"},
		"another principal": {sign(t, signer(t, 2), bundle.NamespaceAbandon, message), bundle.NamespaceAbandon, "m", "signer-other G-2"},
		"nobody":            {sign(t, signer(t, 3), bundle.NamespaceAbandon, message), bundle.NamespaceAbandon, "m", "signer-unknown G-2"},
		"nothing":           {nil, bundle.NamespaceAbandon, "m", "signature-format G-1"},
	} {
		if err := VerifyMessage(c.blob, c.namespace, []byte(c.message), trust(t)); verdict(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
