package route

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// All stands for every tenant, also for those that are configured later.
const All bundle.Name = ""

// Word is the latest that a person has said of a tenant: stop, or go on.
type Word struct {
	Tenant  bundle.Name `json:"tenant"` // All for everybody
	Stopped bool        `json:"stopped"`
	Who     string      `json:"who"`
	UID     uint32      `json:"uid"`
	At      time.Time   `json:"at"`
	Reason  string      `json:"reason"`
}

// by says in words who said it, and when.
func (w *Word) by() string {
	text := fmt.Sprintf("by %s (uid %d) at %s", w.Who, w.UID, w.At.UTC().Format(time.RFC3339))
	if w.Reason != "" {
		text += ": " + w.Reason
	}
	return text
}

// MaxReason bounds a person's reason, in bytes.
const MaxReason = 1024

// TextError is a word that cannot be taken as it is written.
type TextError struct{ Text string }

func (e *TextError) Error() string { return e.Text }

// check keeps what a person writes printable: it ends in logs, in terminals and in alarms. To stop needs a reason.
func (w *Word) check() error {
	if w.Tenant != All {
		if _, err := bundle.ParseName(string(w.Tenant)); err != nil {
			return &TextError{fmt.Sprintf("no tenant can be called %q: %v", w.Tenant, err)}
		}
	}
	switch {
	case w.Stopped && strings.TrimSpace(w.Reason) == "":
		return &TextError{"to stop a route needs a reason: --reason TEXT"}
	case len(w.Reason) > MaxReason:
		return &TextError{fmt.Sprintf("the reason has %d bytes: at most %d", len(w.Reason), MaxReason)}
	case !printable(w.Reason, false):
		return &TextError{"the reason holds what cannot be printed, or a second line"}
	}
	return nil
}

// Files is what a Book needs of a disk.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
	Replace(path string, content []byte) error // durable on return
}

const (
	fileName  = "stops"
	fileLimit = 4 << 20
)

// Path is the file of a state that holds what people have said.
func Path(state string) string { return filepath.Join(state, fileName) }

// Read reads what people have said. A state without the file was never stopped.
func Read(files Files, state string) (map[bundle.Name]Word, error) {
	words := make(map[bundle.Name]Word)
	file, err := files.ReadFile(Path(state), fileLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return words, nil
	}
	if err != nil {
		return words, fmt.Errorf("read who is stopped: %w", err)
	}
	text, sealed, err := journal.Open(file)
	if err == nil && !sealed {
		err = journal.ErrDamaged
	}
	var list []Word
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&list)
		if err == nil && d.Decode(new(any)) != io.EOF {
			err = journal.ErrDamaged
		}
	}
	if err != nil {
		return words, fmt.Errorf("read who is stopped: %s is damaged: %w", Path(state), err)
	}
	for _, w := range list {
		words[w.Tenant] = w
	}
	return words, nil
}

func write(files Files, state string, words map[bundle.Name]Word) error {
	list := []Word{}
	for _, name := range slices.Sorted(maps.Keys(words)) {
		list = append(list, words[name])
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return files.Replace(Path(state), journal.Seal(text))
}
