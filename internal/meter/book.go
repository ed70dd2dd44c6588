package meter

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ecluse/internal/usage"
)

// Disk is what this room needs of a file system.
type Disk interface {
	MkdirAll(dir string) error
	Replace(path string, content []byte) error // durable on return
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
}

// Book is where closed months stand: the directory usage of a state.
type Book struct {
	dir  string
	disk Disk
}

// At is the book of a state.
func At(state string, disk Disk) Book { return Book{filepath.Join(state, "usage"), disk} }

const (
	suffix    = ".json"
	signature = ".sig"
	signers   = "allowed_signers"
	keyFile   = "key"

	statementLimit = 16 << 20 // of as many tenants as a heartbeat names, and more
)

// Path is where a month's statement stands, and its signature beside it.
func (b Book) Path(m usage.Month) string { return filepath.Join(b.dir, m.String()+suffix) }

// SignatureOf is where the signature of a statement stands.
func SignatureOf(statement string) string { return statement + signature }

// Signers is the file that says whose signatures hold.
func (b Book) Signers() string { return filepath.Join(b.dir, signers) }

// Months are the closed ones, in order.
func (b Book) Months() ([]usage.Month, error) {
	names, err := b.disk.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the closed months: %w", err)
	}
	var list []usage.Month
	for _, n := range names {
		if name, ok := strings.CutSuffix(n, suffix); ok {
			if m, err := usage.ParseMonth(name); err == nil {
				list = append(list, m)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

// ErrOpen is returned for a month that is not closed.
var ErrOpen = errors.New("the month is not closed: it is a day after its end, by a daemon that runs")

// Text reads a closed month as it was signed, and its signature; nil where it has none yet.
func (b Book) Text(m usage.Month) (text, sig []byte, err error) {
	text, err = b.disk.ReadFile(b.Path(m), statementLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%v: %w", m, ErrOpen)
	}
	if err == nil {
		sig, err = b.disk.ReadFile(SignatureOf(b.Path(m)), 64<<10)
		if errors.Is(err, fs.ErrNotExist) {
			sig, err = nil, nil
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the statement of %v: %w", m, err)
	}
	return text, sig, nil
}

// Read reads a closed month. signed says that there is a signature, not that it holds.
func (b Book) Read(m usage.Month) (s *usage.Statement, signed bool, err error) {
	text, sig, err := b.Text(m)
	if err != nil {
		return nil, false, err
	}
	if s, err = usage.ParseStatement(text, m); err != nil {
		return nil, false, fmt.Errorf("%w; restore %s from a backup", err, b.Path(m))
	}
	return s, sig != nil, nil
}

// Paper is a closed month with all that its check needs: what `usage statement` prints.
type Paper struct {
	Month     usage.Month `json:"month"`
	Path      string      `json:"path"`
	Text      string      `json:"text"`
	Signature *string     `json:"signature"` // null: not signed yet
	Signers   string      `json:"allowed_signers"`
	Name      string      `json:"name"` // of who signs
}

// Paper reads it.
func (b Book) Paper(m usage.Month) (*Paper, error) {
	s, _, err := b.Read(m)
	if err != nil {
		return nil, err
	}
	text, sig, err := b.Text(m)
	if err != nil {
		return nil, err
	}
	p := &Paper{Month: m, Path: b.Path(m), Text: string(text), Name: s.Name}
	if sig != nil {
		t := string(sig)
		p.Signature = &t
	}
	lines, err := b.disk.ReadFile(b.Signers(), statementLimit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read who signs: %w", err)
	}
	p.Signers = string(lines)
	return p, nil
}

// TakenError is a file of somebody else where a statement was to be written.
type TakenError struct{ Path string }

func (e *TakenError) Error() string { return e.Path + " is there already, and says something else" }

// Export writes a statement, its signature and who signs into a directory. What stands there already and says otherwise is somebody else's, such as a receiver's own allowed_signers, or the statement
// of the other side: nothing is written then.
func (b Book) Export(p *Paper, dir string) error {
	files := map[string]string{filepath.Base(p.Path): p.Text, signers: p.Signers}
	if p.Signature != nil {
		files[filepath.Base(SignatureOf(p.Path))] = *p.Signature
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		have, err := b.disk.ReadFile(path, statementLimit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("write the statement: look at what is there: %w", err)
		case string(have) != files[name] && (name != signers || !linesOf(files[name], string(have))):
			return &TakenError{path}
		}
	}
	for name, text := range files {
		if err := b.disk.Replace(filepath.Join(dir, name), []byte(text)); err != nil {
			return fmt.Errorf("write the statement: %w", err)
		}
	}
	return nil
}

// linesOf says whether each line of a part is one of a text.
func linesOf(text, part string) bool {
	all := strings.Split(text, "\n")
	return !slices.ContainsFunc(strings.Split(part, "\n"), func(l string) bool { return l != "" && !slices.Contains(all, l) })
}
