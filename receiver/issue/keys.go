package issue

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// Disk is what this room needs of a file system.
type Disk interface {
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
	// Replace puts a whole file in place, durably, readable by its owner alone.
	Replace(path string, content []byte) error
}

const (
	// epochsMost bounds what is kept of one sender: it can open sessions of as many epochs as it likes.
	epochsMost = 8
	fileMost   = 1 << 20
)

// held is the ticket key of one epoch.
type held struct {
	Epoch bundle.Epoch `json:"epoch"`
	Key   string       `json:"key"` // 64 hexadecimal digits
}

// keyFile is tickets/keys/<sender>.json.
type keyFile struct {
	Sender bundle.Name `json:"sender"`
	Keys   []held      `json:"keys"` // the one that changed last comes last
}

// Keys are the ticket keys that senders have told. Heard may be called from anywhere, at any rate: it waits for no disk.
type Keys struct {
	disk Disk
	dir  string

	saving sync.Mutex // held by Save

	mu      sync.Mutex
	senders map[bundle.Name][]held
	changed map[bundle.Name]bool
}

// openKeys reads the keys that an earlier life has kept.
func openKeys(disk Disk, dir string) (*Keys, error) {
	k := &Keys{disk: disk, dir: dir, senders: make(map[bundle.Name][]held), changed: make(map[bundle.Name]bool)}
	names, err := disk.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the ticket keys: %w", err)
	}
	for _, n := range names {
		name, ok := strings.CutSuffix(n, ".json")
		if !ok {
			continue
		}
		var f keyFile
		err := readSealed(disk, filepath.Join(dir, n), &f)
		if err == nil && string(f.Sender) != name {
			err = journal.ErrDamaged
		}
		if err != nil {
			continue // the next heartbeat brings them again
		}
		k.senders[f.Sender] = f.Keys
	}
	return k, nil
}

// Heard notes the key that a heartbeat told of a session's epoch. It becomes durable with Save.
func (k *Keys) Heard(sender bundle.Name, e bundle.Epoch, key [32]byte) {
	if key == [32]byte{} {
		return // none: everybody knows it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.senders[sender]
	at := slices.IndexFunc(list, func(h held) bool { return h.Epoch == e })
	if at >= 0 && is(list[at], key) {
		return
	}
	list = slices.DeleteFunc(slices.Clone(list), func(h held) bool { return h.Epoch == e })
	list = append(list, held{e, hex.EncodeToString(key[:])})
	k.senders[sender] = list[max(0, len(list)-epochsMost):]
	k.changed[sender] = true
}

// is compares without an allocation: a heartbeat comes every second.
func is(h held, key [32]byte) bool {
	var text [64]byte
	hex.Encode(text[:], key[:])
	return h.Key == string(text[:])
}

// Of gives the key of an epoch.
func (k *Keys) Of(sender bundle.Name, e bundle.Epoch) (key [32]byte, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.senders[sender] {
		if n, err := hex.Decode(key[:], []byte(h.Key)); h.Epoch == e && err == nil && n == len(key) {
			return key, true
		}
	}
	return [32]byte{}, false
}

// Save makes durable what was heard since the last time. What cannot be written is tried again the next time.
func (k *Keys) Save() error {
	k.saving.Lock()
	defer k.saving.Unlock()
	k.mu.Lock()
	files := make(map[bundle.Name]keyFile)
	for sender := range k.changed {
		files[sender] = keyFile{sender, slices.Clone(k.senders[sender])}
	}
	clear(k.changed)
	k.mu.Unlock()
	var failed error
	for _, sender := range slices.Sorted(maps.Keys(files)) {
		if err := writeSealed(k.disk, filepath.Join(k.dir, string(sender)+".json"), files[sender]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("keep the ticket key of %s: %w", sender, err))
			k.mu.Lock()
			k.changed[sender] = true
			k.mu.Unlock()
		}
	}
	return failed
}

func writeSealed(disk Disk, path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return disk.Replace(path, journal.Seal(text))
}

// readSealed reads a file of this room, all of which have a seal.
func readSealed(disk Disk, path string, into any) error {
	file, err := disk.ReadFile(path, fileMost)
	if err != nil {
		return err
	}
	text, sealed, err := journal.Open(file)
	if err != nil || !sealed {
		return errors.Join(err, journal.ErrDamaged)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
