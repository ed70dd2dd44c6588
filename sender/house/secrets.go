package house

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/sender/transmit"
)

// Secrets does what sessions and manifests need of keys.
type Secrets struct {
	identity *keys.Identity
	receiver *keys.ReceiverPublic
	disk     *disk.Disk
	path     string // of the session number
	now      func() time.Time

	mu sync.Mutex
}

// NewSecrets joins this sender's key and its receiver's to the state whose sessions they open.
func NewSecrets(identity *keys.Identity, receiver *keys.ReceiverPublic, s *State) *Secrets {
	return &Secrets{identity: identity, receiver: receiver, disk: s.Disk, path: filepath.Join(s.Dir, sessionFile), now: s.Now}
}

// Encapsulate implements transmit.Secrets.
func (s *Secrets) Encapsulate(info []byte) ([]byte, transmit.Exporter, error) {
	return s.receiver.Encapsulate(info)
}

// Sign implements transmit.Secrets.
func (s *Secrets) Sign(message []byte) ([]byte, error) {
	return s.identity.Sign(bundle.NamespaceSession, message)
}

// SignManifest implements ledger.Signer.
func (s *Secrets) SignManifest(manifest io.Reader) ([]byte, error) {
	return s.identity.SignReader(bundle.NamespaceBundle, manifest)
}

// Quick says that manifests are signed in no time.
func (s *Secrets) Quick() bool { return s.identity.Quick() }

// SignAbandon implements dispatch.Signer.
func (s *Secrets) SignAbandon(message []byte) ([]byte, error) {
	return s.identity.Sign(bundle.NamespaceAbandon, message)
}

// Public implements transmit.Secrets.
func (s *Secrets) Public() (sender, receiver []byte) {
	return s.identity.Public().Marshal(), s.receiver.Bytes()
}

// NextNumber implements transmit.Secrets: SPEC.md rule S-7. A clock that was set back does not matter, and neither does a file that was lost, as long as not both happen.
func (s *Secrets) NextNumber() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := uint64(0)
	text, err := s.disk.ReadFile(s.path, 64)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, fmt.Errorf("read the session number: %w", err)
	default:
		if last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return 0, fmt.Errorf("read the session number: %s is damaged; with the right time set, remove it", s.path)
		}
	}
	next := max(last+1, uint64(max(0, s.now().UnixMilli())))
	if err := s.disk.Replace(s.path, []byte(strconv.FormatUint(next, 10)+"\n")); err != nil {
		return 0, fmt.Errorf("keep the session number: %w", err)
	}
	return next, nil
}
