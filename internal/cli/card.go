package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ecluse/internal/disk"
	"ecluse/internal/keys"
)

// OwnCard is where a side's own card stands: beside its key, under the side's name.
func OwnCard(identity string, side keys.PairKind) string {
	return filepath.Join(filepath.Dir(identity), string(side)+".pair")
}

// ReadCard reads a card that was carried over, which has to be of a kind.
func ReadCard(path string, kind keys.PairKind) (*keys.Pair, error) {
	p, err := keys.ReadPair(path)
	if err != nil {
		return nil, &Error{Code: Usage, Err: err, Hint: fmt.Sprintf("pair takes the file %s.pair that `ecluse-%s init` made", kind, kind)}
	}
	if p.Kind != kind {
		return nil, &Error{Code: Usage, Err: fmt.Errorf("pair: %s is the card of a %s, and this is a %[2]s", path, p.Kind), Hint: fmt.Sprintf("take %s.pair", kind)}
	}
	return p, nil
}

// PrintCard shows what a card says; more lines stand before its fingerprint.
func PrintCard(w io.Writer, p *keys.Pair, more ...string) error {
	lines := []string{fmt.Sprintf("%-12s %s", p.Kind, p.Name)}
	if p.Kind == keys.PairSender {
		lines = append(lines, fmt.Sprintf("%-12s %s", "key", keys.Fingerprint(p.Signer)), fmt.Sprintf("%-12s %s", "epoch", p.Epoch))
	}
	lines = append(append(lines, more...), fmt.Sprintf("%-12s %s", "fingerprint", p.Fingerprint()))
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// ShowOwnCard prints what the other side is to compare.
func ShowOwnCard(w io.Writer, identity string, side keys.PairKind) error {
	path := OwnCard(identity, side)
	p, err := keys.ReadPair(path)
	if err != nil {
		return err
	}
	return PrintCard(w, p, fmt.Sprintf("%-12s %s", "card", path))
}

// ReplaceCard puts a card in place for all to read, and prints where it is and its fingerprint.
func ReplaceCard(w io.Writer, path string, p *keys.Pair, asJSON bool) error {
	if err := disk.New().Replace(path, p.Marshal()); err != nil {
		return fmt.Errorf("write the card: %w", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		return fmt.Errorf("write the card: %w", err)
	}
	if asJSON {
		return PrintJSON(w, map[string]string{"card": path, "fingerprint": p.Fingerprint()})
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", path, p.Fingerprint())
	return err
}

// GiveToOwner gives files that root has made to the owner of the state: the daemon has to read them. One that is not there is left out.
func GiveToOwner(state string, files ...string) error {
	info, err := os.Stat(state)
	if err != nil {
		return fmt.Errorf("look at the state: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	for _, f := range files {
		if err := os.Lchown(f, int(st.Uid), int(st.Gid)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("give it to the daemon: %w", err)
		}
	}
	return nil
}
