package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ecluse/protocol/bundle"
)

// Link is the newest end of one tenant's chain: chain/<tenant>.json.
type Link struct {
	Tenant   bundle.Name   `json:"tenant"`
	Epoch    bundle.Epoch  `json:"epoch"`
	Sequence uint64        `json:"sequence"`
	Digest   bundle.Digest `json:"digest"`
}

// Signed is a manifest that is durable with its signature: from now on these bytes are the bundle's, in every pass.
type Signed struct {
	Sequence  uint64
	Previous  bundle.Digest
	Digest    bundle.Digest
	Size      int64
	Signature []byte // raw SSHSIG
	Path      string // of manifest.json
}

// Signer makes a raw SSHSIG blob in the namespace of bundles.
type Signer interface {
	SignManifest(manifest io.Reader) ([]byte, error)
}

// Sign gives a bundle its place in the chain, writes and signs its manifest, and returns when all of it is durable. m lacks sequence and previous; everything else
// is there. Bundles of all tenants share the sync.
func (l *Ledger) Sign(ctx context.Context, s Signer, m *bundle.Manifest) (*Signed, error) {
	var signed *Signed
	err := l.Change(ctx, m.Bundle, func(r *Record) error {
		if r.Sequence != nil {
			return fmt.Errorf("bundle %s is signed already", r.Bundle)
		}
		last := l.Head(m.Tenant)
		m.Epoch, m.Sequence, m.Previous = l.epoch, last.Sequence+1, last.Digest
		var err error
		if signed, err = l.write(s, m); err != nil {
			return err
		}
		sequence := m.Sequence
		r.Sequence = &sequence
		return l.extend(Link{Tenant: m.Tenant, Epoch: l.epoch, Sequence: m.Sequence, Digest: signed.Digest})
	})
	return signed, err
}

// write puts manifest and signature in place, not yet durable.
func (l *Ledger) write(s Signer, m *bundle.Manifest) (*Signed, error) {
	dir := l.bundleDir(m.Bundle)
	if err := l.disk.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("write manifest of %s: %w", m.Bundle, err)
	}
	path := filepath.Join(dir, manifestName)
	digest, size, err := writeManifest(path, m)
	if err != nil {
		return nil, fmt.Errorf("write manifest of %s: %w", m.Bundle, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sign manifest of %s: %w", m.Bundle, err)
	}
	defer f.Close()
	blob, err := s.SignManifest(bufio.NewReaderSize(f, 1<<18))
	if err == nil {
		err = l.disk.Put(filepath.Join(dir, signatureName), bundle.Armor(blob))
	}
	if err != nil {
		return nil, fmt.Errorf("sign manifest of %s: %w", m.Bundle, err)
	}
	return &Signed{Sequence: m.Sequence, Previous: m.Previous, Digest: digest, Size: size, Signature: blob, Path: path}, nil
}

const (
	manifestName  = "manifest.json"
	signatureName = "manifest.json.sig"
)

// writeManifest streams a manifest to a file: it may be hundreds of megabytes. No name is temporary here: until the chain counts it, a manifest means nothing, and
// a new attempt writes it afresh.
func writeManifest(path string, m *bundle.Manifest) (bundle.Digest, int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return bundle.Digest{}, 0, err
	}
	sum := sha256.New()
	counted := &counter{w: io.MultiWriter(f, sum)}
	w := bufio.NewWriterSize(counted, 1<<18)
	err = bundle.WriteManifest(w, m)
	if err == nil {
		err = w.Flush()
	}
	err = errors.Join(err, f.Close())
	return bundle.Digest(sum.Sum(nil)), counted.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Signed reads back what Sign made in an earlier life; it returns nil when the bundle is not signed.
func (l *Ledger) Signed(r *Record) (*Signed, error) {
	if r.Sequence == nil {
		return nil, nil
	}
	dir := l.bundleDir(r.Bundle)
	path := filepath.Join(dir, manifestName)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", r.Bundle, err)
	}
	defer f.Close()
	sum := sha256.New()
	m, err := bundle.ParseManifest(io.TeeReader(f, sum), bundle.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", r.Bundle, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", r.Bundle, err)
	}
	armored, err := l.disk.ReadFile(filepath.Join(dir, signatureName), recordLimit)
	if err != nil {
		return nil, fmt.Errorf("read signature of %s: %w", r.Bundle, err)
	}
	blob, err := bundle.Unarmor(armored)
	if err != nil {
		return nil, fmt.Errorf("read signature of %s: %w", r.Bundle, err)
	}
	return &Signed{Sequence: m.Sequence, Previous: m.Previous, Digest: bundle.Digest(sum.Sum(nil)), Size: info.Size(), Signature: blob, Path: path}, nil
}

// Manifest parses a signed bundle's manifest.
func (l *Ledger) Manifest(id bundle.ID) (*bundle.Manifest, error) {
	f, err := os.Open(filepath.Join(l.bundleDir(id), manifestName))
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

// Head returns the end of a tenant's chain in this epoch.
func (l *Ledger) Head(tenant bundle.Name) Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.chains[tenant]; c.Epoch == l.epoch {
		return c
	}
	return Link{Tenant: tenant, Epoch: l.epoch}
}

// extend puts the new end of a chain in place. It counts from here on within the batch; should the sync fail, the process ends.
func (l *Ledger) extend(c Link) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = l.disk.Put(filepath.Join(l.dir, "chain", string(c.Tenant)+".json"), text)
	}
	if err != nil {
		return fmt.Errorf("write the chain of %s: %w", c.Tenant, err)
	}
	l.mu.Lock()
	l.chains[c.Tenant] = c
	l.mu.Unlock()
	return nil
}

func (l *Ledger) loadChains() error {
	names, err := l.disk.ReadDir(filepath.Join(l.dir, "chain"))
	if err != nil {
		return err
	}
	for _, n := range names {
		name, ok := strings.CutSuffix(n, ".json")
		if !ok {
			continue
		}
		text, err := l.disk.ReadFile(filepath.Join(l.dir, "chain", n), recordLimit)
		if err != nil {
			return err
		}
		var c Link
		if err := json.Unmarshal(text, &c); err != nil || string(c.Tenant) != name {
			return fmt.Errorf("chain/%s is damaged: a sequence could be used twice; run init in a new place and pair anew: %w", n, errors.Join(err, errors.New("not the chain of this tenant")))
		}
		l.chains[c.Tenant] = c
	}
	return nil
}
