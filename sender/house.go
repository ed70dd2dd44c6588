package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/instance"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/transmit"
)

// stateVersion is the form of the state directory. A program that changes it so that an older one would do harm counts it up.
const stateVersion = 1

// The small files of a state. init draws epoch and ticket key: they are the sender's life.
const (
	epochFile     = "epoch"
	ticketKeyFile = "ticket.key"
	sessionFile   = "session"
)

// house is an open state.
type house struct {
	c      Config
	disk   *disk.Disk
	lock   *instance.Lock
	epoch  bundle.Epoch
	ticket [32]byte
	ledger *ledger.Ledger
}

// openHouse takes the state and opens it.
func openHouse(ctx context.Context, c Config) (*house, error) {
	unix.Umask(0o077) // whatever is to be open to others is opened by name
	h := &house{c: c, disk: disk.New()}
	if err := cli.StateDir(c.State); err != nil {
		return nil, err
	}
	var err error
	if h.lock, err = instance.Take(c.State, stateVersion, h.disk.Replace); err != nil {
		return nil, err
	}
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.lock.Release())
	}
	return h, nil
}

func (h *house) open(ctx context.Context) (err error) {
	if h.epoch, err = readEpoch(h.disk, h.c.State); err != nil {
		return err
	}
	text, err := h.disk.ReadFile(filepath.Join(h.c.State, ticketKeyFile), 128)
	if err != nil {
		return fmt.Errorf("read the ticket key: %w", err)
	}
	if n, err := hex.Decode(h.ticket[:], []byte(strings.TrimSpace(string(text)))); err != nil || n != len(h.ticket) {
		return fmt.Errorf("read the ticket key: %s is damaged", ticketKeyFile)
	}
	h.ledger, err = ledger.Open(ctx, h.c.State, h.disk, h.epoch, time.Now)
	return err
}

// close gives the state free. clean says that everything that was begun has ended.
func (h *house) close(clean bool) error { return errors.Join(h.ledger.Close(clean), h.lock.Release()) }

// drawState makes the small files of a new state.
func drawState(d *disk.Disk, state string) (bundle.Epoch, error) {
	var epoch bundle.Epoch
	var ticket [32]byte
	_, _ = rand.Read(epoch[:])
	_, _ = rand.Read(ticket[:])
	for name, text := range map[string]string{epochFile: epoch.String(), ticketKeyFile: hex.EncodeToString(ticket[:])} {
		if err := d.Replace(filepath.Join(state, name), []byte(text+"\n")); err != nil {
			return epoch, fmt.Errorf("make the state: %w", err)
		}
	}
	return epoch, nil
}

func readEpoch(d *disk.Disk, state string) (bundle.Epoch, error) {
	text, err := d.ReadFile(filepath.Join(state, epochFile), 128)
	if errors.Is(err, fs.ErrNotExist) {
		return bundle.Epoch{}, &cli.Error{Code: cli.Usage, Err: fmt.Errorf("state %s has no epoch", state), Hint: "ecluse-sender init makes one; a state that was lost is made anew, and paired again on the high side"}
	}
	if err != nil {
		return bundle.Epoch{}, fmt.Errorf("read the epoch: %w", err)
	}
	epoch, err := bundle.ParseEpoch(strings.TrimSpace(string(text)))
	if err != nil {
		return epoch, fmt.Errorf("read the epoch: %w", err)
	}
	return epoch, nil
}

// secrets does what sessions and manifests need of keys.
type secrets struct {
	identity *keys.Identity
	receiver *keys.ReceiverPublic
	disk     *disk.Disk
	path     string // of the session number

	mu sync.Mutex
}

// Encapsulate implements transmit.Secrets.
func (s *secrets) Encapsulate(info []byte) ([]byte, transmit.Exporter, error) {
	return s.receiver.Encapsulate(info)
}

// Sign implements transmit.Secrets.
func (s *secrets) Sign(message []byte) ([]byte, error) {
	return s.identity.Sign(bundle.NamespaceSession, message)
}

// SignManifest implements ledger.Signer.
func (s *secrets) SignManifest(manifest io.Reader) ([]byte, error) {
	return s.identity.SignReader(bundle.NamespaceBundle, manifest)
}

// SignAbandon implements dispatch.Signer.
func (s *secrets) SignAbandon(message []byte) ([]byte, error) {
	return s.identity.Sign(bundle.NamespaceAbandon, message)
}

// Public implements transmit.Secrets.
func (s *secrets) Public() (sender, receiver []byte) {
	return s.identity.Public().Marshal(), s.receiver.Bytes()
}

// NextNumber implements transmit.Secrets: SPEC.md rule S-7. A clock that was set back does not matter, and neither does a file that was lost, as long as not both happen.
func (s *secrets) NextNumber() (uint64, error) {
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
			return 0, fmt.Errorf("read the session number: %s is damaged", sessionFile)
		}
	}
	next := max(last+1, uint64(max(0, time.Now().UnixMilli())))
	if err := s.disk.Replace(s.path, []byte(strconv.FormatUint(next, 10)+"\n")); err != nil {
		return 0, fmt.Errorf("keep the session number: %w", err)
	}
	return next, nil
}

// openSecrets loads keys. name is the sender's principal.
func openSecrets(c Config) (s *secrets, name bundle.Name, err error) {
	usage := func(err error, hint string) error { return &cli.Error{Code: cli.Usage, Err: err, Hint: hint} }
	identity, err := keys.LoadIdentity(c.Identity)
	if err != nil {
		return nil, "", usage(err, "")
	}
	if name, err = senderName(c); err != nil {
		return nil, "", usage(err, "write name: into the configuration")
	}
	pair, err := keys.ReadPair(c.Receiver)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", usage(fmt.Errorf("no receiver is paired: %w", err), "ecluse-sender pair receiver.pair")
	}
	if err == nil && pair.Kind != keys.PairReceiver {
		err = fmt.Errorf("%s is the card of a %s", c.Receiver, pair.Kind)
	}
	if err != nil {
		return nil, "", usage(err, "ecluse-sender pair receiver.pair")
	}
	return &secrets{identity: identity, receiver: pair.Receiver, disk: disk.New(), path: filepath.Join(c.State, sessionFile)}, name, nil
}

// senderName is the name of the configuration, or what the comment of the public key says: the name under which the high side knows the key.
func senderName(c Config) (bundle.Name, error) {
	if c.Name != "" {
		return bundle.ParseName(c.Name)
	}
	text, err := os.ReadFile(strings.TrimSuffix(c.Identity, ".pub") + ".pub")
	if err != nil {
		return "", fmt.Errorf("this sender has no name: %w", err)
	}
	_, comment, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return "", fmt.Errorf("this sender has no name: %w", err)
	}
	name, err := bundle.ParseName(comment)
	if err != nil {
		return "", fmt.Errorf("this sender has no name, and its key's comment cannot be one: %w", err)
	}
	return name, nil
}
