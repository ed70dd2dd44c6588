package quarantine

import (
	"bufio"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// Signers says whose key may sign what, and when: an allowed_signers file. A refusal is a *bundle.Rejection (SPEC.md rule G-2).
type Signers interface {
	Principal(key ssh.PublicKey, namespace string, at time.Time) (bundle.Name, error)
}

// Expect is what a bundle must agree with, beside itself.
type Expect struct {
	Signers  Signers
	Sender   bundle.Name   // the principal that opened the session
	Receiver bundle.Digest // our own key id; zero where Manifest says which manifest was accepted, maybe for a key that has been replaced since
	Manifest bundle.Digest // what the manifest's digest must be; zero before it is known
	Received time.Time     // when its first packet came: keys are judged at this time
	Names    bundle.NamePolicy
}

// Signed is a manifest whose signature and form hold.
type Signed struct {
	Manifest  *bundle.Manifest
	Digest    bundle.Digest
	Signature []byte // raw SSHSIG
	Key       ssh.PublicKey
}

// text is a manifest on the disk: it is read twice, once to verify the bytes, once to parse them.
type text interface {
	io.Reader
	io.Seeker
}

// errDigest is the staged manifest not being what the close says: its chunks are missing again.
var errDigest error = bundle.Reject(bundle.ReasonManifestDigest, "M-7", "the manifest that arrived has another size or digest than the close says")

// readSigned verifies the exact bytes of a manifest, then parses those bytes. want is nil or what its close says.
func readSigned(t text, signature []byte, want *record.Close, e Expect) (*Signed, error) {
	digest, long, size, err := sums(t)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if want != nil && (uint64(size) != want.ManifestSize || digest != want.Manifest) {
		return nil, errDigest
	}
	if !e.Manifest.IsZero() && digest != e.Manifest {
		return nil, bundle.Reject(bundle.ReasonContentMismatch, "M-6", "this is not the manifest that was accepted for the bundle")
	}
	key, err := verifySignature(signature, bundle.NamespaceBundle, long, e)
	if err != nil {
		return nil, err
	}
	if _, err := t.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m, err := bundle.ParseManifest(t, bundle.Limits{})
	if err != nil {
		return nil, err
	}
	switch {
	case m.Sender != e.Sender:
		return nil, bundle.Reject(bundle.ReasonManifestSender, "M-8", "it names sender %q, its key is that of %q", m.Sender, e.Sender)
	case m.Receiver != e.Receiver && (!e.Receiver.IsZero() || e.Manifest.IsZero()):
		return nil, bundle.Reject(bundle.ReasonManifestReceiver, "M-8", "it names receiver %s", m.Receiver)
	}
	if err := m.Table.Check(e.Names, m.Name); err != nil {
		return nil, err
	}
	return &Signed{Manifest: m, Digest: digest, Signature: signature, Key: key}, nil
}

// VerifyMessage checks a small signed message of the sender's (rule R-9).
func VerifyMessage(blob []byte, namespace string, message []byte, e Expect) error {
	_, err := verifySignature(blob, namespace, sha512.Sum512(message), e)
	return err
}

// verifySignature checks the signature over a text with that SHA-512, and that its key is the sender's (rules G-1, G-2).
func verifySignature(blob []byte, namespace string, message [sha512.Size]byte, e Expect) (ssh.PublicKey, error) {
	s, err := bundle.ParseSignature(blob, namespace)
	if err != nil {
		return nil, err
	}
	if err := s.Verify(message); err != nil {
		return nil, err
	}
	who, err := e.Signers.Principal(s.Key(), namespace, e.Received)
	if err != nil {
		return nil, err
	}
	if who != e.Sender {
		return nil, bundle.Reject(bundle.ReasonSignerOther, "G-2", "signed by %q, the session was opened by %q", who, e.Sender)
	}
	return s.Key(), nil
}

// streamBuffer is what a manifest, its signature and its sums pass through, in bytes: most are far smaller, and every bundle has them.
const streamBuffer = 16 << 10

// sums reads a text once for both digests.
func sums(t text) (bundle.Digest, [sha512.Size]byte, int64, error) {
	var long [sha512.Size]byte
	if _, err := t.Seek(0, io.SeekStart); err != nil {
		return bundle.Digest{}, long, 0, err
	}
	short, full := sha256.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(short, full), bufio.NewReaderSize(t, streamBuffer))
	full.Sum(long[:0])
	return bundle.Digest(short.Sum(nil)), long, n, err
}

// digestOf reads a file of exactly size bytes. A shorter or longer one has no digest that could match: ok is false.
func digestOf(r io.Reader, size int64, h hash.Hash, buffer []byte) (d bundle.Digest, ok bool, err error) {
	h.Reset()
	n, err := io.CopyBuffer(onlyWriter{h}, io.LimitReader(r, size+1), buffer)
	if err != nil {
		return d, false, err
	}
	h.Sum(d[:0])
	return d, n == size, nil
}

// onlyWriter hides everything else of a writer, so that io.CopyBuffer uses the buffer it is given.
type onlyWriter struct{ io.Writer }

// WrongContent is a bundle some of whose content is not what its manifest says. Those chunks are missing again.
type WrongContent struct {
	Chunks []uint32
	Files  []uint32
}

func (w *WrongContent) Error() string {
	return fmt.Sprintf("%d files and %d chunks do not match the manifest", len(w.Files), len(w.Chunks))
}

// claimOf is what offer and close say of the manifest (rule M-7).
func claimOf(o *record.Offer, c *record.Close) bundle.Claim {
	return bundle.Claim{
		Bundle: o.Bundle, Tenant: o.Tenant, Epoch: o.Epoch, Sequence: c.Sequence, Previous: c.Previous, Files: o.Files, Dirs: o.Dirs, Bytes: o.Bytes,
		Chunks: o.Chunks, ChunkSize: o.ChunkSize, Name: o.Name, Created: o.Created, ManifestSize: c.ManifestSize, ManifestDigest: c.Manifest,
	}
}

// agree holds offer and close against each other before the manifest is asked.
func agree(o *record.Offer, c *record.Close) error {
	if o.Bundle != c.Bundle || o.Epoch != c.Epoch || o.Tenant != c.Tenant || o.Chunks != c.Chunks {
		return bundle.Reject(bundle.ReasonManifestMismatch, "M-7", "offer and close contradict each other")
	}
	size := uint64(o.ChunkSize)                                                       // at least 1: the record was parsed
	if want := (c.ManifestSize + size - 1) / size; uint64(c.ManifestChunks) != want { // C-2
		return bundle.Reject(bundle.ReasonManifestMismatch, "M-7", "a manifest of %d bytes in %d chunks of %d", c.ManifestSize, c.ManifestChunks, size)
	}
	return nil
}
