package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ecluse/protocol/bundle"
)

// Signed is a manifest that is durable with its signature: from now on these bytes are the bundle's, in every pass.
type Signed struct {
	Sequence  uint64
	Previous  bundle.Digest
	Digest    bundle.Digest
	Size      int64
	Signature []byte // raw SSHSIG
	Path      string // of manifest.json

	epoch bundle.Epoch
}

// Signer makes a raw SSHSIG blob in the namespace of bundles. One that has a method Quick and says so there does it in no time.
type Signer interface {
	SignManifest(manifest io.Reader) ([]byte, error)
}

// Sign gives a bundle its place in the chain, writes and signs its manifest, and returns when all of it is durable. m lacks sequence and previous; everything else
// is there. Bundles of all tenants share the sync. After an error the bundle has no place, and nothing of its manifest may leave.
func (l *Ledger) Sign(ctx context.Context, s Signer, m *bundle.Manifest) (*Signed, error) {
	var signed *Signed
	err := l.ask(ctx, &request{id: m.Bundle, slow: !quick(s, m), change: func(r *Record) (link *Link, err error) {
		if r.Sequence != nil {
			return nil, fmt.Errorf("bundle %s is signed already", r.Bundle)
		}
		if r.State != Waiting && r.State != Sending {
			return nil, fmt.Errorf("bundle %s is %q: it cannot be signed", r.Bundle, r.State)
		}
		if r.Tenant != m.Tenant {
			return nil, fmt.Errorf("bundle %s is of tenant %q, its manifest of %q", r.Bundle, r.Tenant, m.Tenant)
		}
		last := l.newest(m.Tenant)
		m.Epoch, m.Sequence, m.Previous = l.epoch, last.Sequence+1, last.Digest
		if signed, err = l.write(s, m); err != nil {
			return nil, err
		}
		r.Epoch, r.Sequence = l.epoch, copied(&signed.Sequence)
		return &Link{Tenant: m.Tenant, Epoch: l.epoch, Sequence: m.Sequence, Digest: signed.Digest}, nil
	}})
	if err != nil {
		return nil, err
	}
	return signed, nil
}

// quickFiles is how many files a manifest may have that is written and hashed in no time.
const quickFiles = 1000

// quick says that a manifest is written and signed in less time than a sync takes. An agent may ask a token, or a person.
func quick(s Signer, m *bundle.Manifest) bool {
	q, ok := s.(interface{ Quick() bool })
	return ok && q.Quick() && m.Table.Files() <= quickFiles
}

// write puts manifest and signature in place, not yet durable.
func (l *Ledger) write(s Signer, m *bundle.Manifest) (*Signed, error) {
	dir := l.bundleDir(m.Bundle)
	if err := l.disk.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("write manifest of %s: %w", m.Bundle, err)
	}
	path := filepath.Join(dir, manifestName)
	if err := l.writeManifest(path, m); err != nil {
		return nil, fmt.Errorf("write manifest of %s: %w", m.Bundle, err)
	}
	f, err := l.disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("sign manifest of %s: %w", m.Bundle, err)
	}
	defer f.Close()
	blob, err := s.SignManifest(bufio.NewReaderSize(f, streamBuffer))
	if err == nil {
		err = l.create(filepath.Join(dir, signatureName), func(w io.Writer) error { _, err := w.Write(bundle.Armor(blob)); return err })
	}
	if err != nil {
		return nil, fmt.Errorf("sign manifest of %s: %w", m.Bundle, err)
	}
	return &Signed{Sequence: m.Sequence, Previous: m.Previous, Digest: m.Digest, Size: m.Size, Signature: blob, Path: path, epoch: m.Epoch}, nil
}

// streamBuffer is what a manifest passes through, in bytes: most are far smaller, and every bundle has one.
const streamBuffer = 16 << 10

const (
	manifestName  = "manifest.json"
	signatureName = "manifest.json.sig"
)

// writeManifest streams a manifest to a file: it may be hundreds of megabytes. Afterwards m knows its size and digest.
func (l *Ledger) writeManifest(path string, m *bundle.Manifest) error {
	return l.create(path, func(f io.Writer) error {
		w := bufio.NewWriterSize(f, streamBuffer)
		if err := bundle.WriteManifest(w, m); err != nil {
			return err
		}
		return w.Flush()
	})
}

// create writes a file under its own name: until a record counts them, manifest and signature mean nothing, and a new attempt writes them afresh.
func (l *Ledger) create(path string, fill func(io.Writer) error) error {
	f, err := l.disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

// errOther says that a manifest is not the one that the record counts.
var errOther = errors.New("it is the manifest of another bundle or sequence")

// Signed reads back what Sign made in an earlier life; it returns nil when the bundle is not signed.
func (l *Ledger) Signed(r *Record) (*Signed, error) {
	if r.Sequence == nil {
		return nil, nil
	}
	s, err := l.readSigned(r)
	if err == nil && (r.Epoch != s.epoch || *r.Sequence != s.Sequence) {
		err = fmt.Errorf("read manifest of %s: %w", r.Bundle, errOther)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readSigned reads the manifest and the signature that stand with a record, whatever it says of them.
func (l *Ledger) readSigned(r *Record) (*Signed, error) {
	dir := l.bundleDir(r.Bundle)
	path := filepath.Join(dir, manifestName)
	f, err := l.disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", r.Bundle, err)
	}
	defer f.Close()
	sum := sha256.New()
	m, err := bundle.ParseManifest(io.TeeReader(f, sum), bundle.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", r.Bundle, err)
	}
	if m.Bundle != r.Bundle || m.Tenant != r.Tenant {
		return nil, fmt.Errorf("read manifest of %s: %w", r.Bundle, errOther)
	}
	armored, err := l.disk.ReadFile(filepath.Join(dir, signatureName), recordLimit)
	if err != nil {
		return nil, fmt.Errorf("read signature of %s: %w", r.Bundle, err)
	}
	blob, err := bundle.Unarmor(armored)
	if err != nil {
		return nil, fmt.Errorf("read signature of %s: %w", r.Bundle, err)
	}
	return &Signed{Sequence: m.Sequence, Previous: m.Previous, Digest: bundle.Digest(sum.Sum(nil)), Size: m.Size, Signature: blob, Path: path, epoch: m.Epoch}, nil
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// Manifest parses a signed bundle's manifest.
func (l *Ledger) Manifest(id bundle.ID) (*bundle.Manifest, error) {
	f, err := l.disk.OpenFile(filepath.Join(l.bundleDir(id), manifestName), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", id, err)
	}
	defer f.Close()
	m, err := bundle.ParseManifest(f, bundle.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", id, err)
	}
	return m, nil
}
