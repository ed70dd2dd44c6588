package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint says how many entries a log has, and the hash of the tree over them.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
	Text   string // the signed note
}

// checkpointMost bounds a checkpoint in bytes: three lines and some signatures.
const checkpointMost = 64 << 10

var errCheckpoint = errors.New("it is no checkpoint: three lines, origin, number of entries and hash, and a signature")

// sign makes a checkpoint.
func sign(origin string, size uint64, root tlog.Hash, by note.Signer) (Checkpoint, error) {
	text, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)}, by)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return Checkpoint{origin, size, root, string(text)}, nil
}

// ParseCheckpoint takes a checkpoint that a key has signed for the log of its own name.
func ParseCheckpoint(text []byte, key note.Verifier) (Checkpoint, error) {
	if len(text) > checkpointMost {
		return Checkpoint{}, fmt.Errorf("a checkpoint of %d bytes", len(text))
	}
	n, err := note.Open(text, note.VerifierList(key))
	var unsigned *note.UnverifiedNoteError
	if errors.As(err, &unsigned) {
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by the key %s+%08x", key.Name(), key.KeyHash())
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the signature of the checkpoint does not hold: %w", err)
	}
	for _, s := range n.Sigs { // the last bits of base64 can be anything, and here nothing can be
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("the signature of the checkpoint is not written as it was: %w", err)
		}
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	root, bad := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || bad != nil || len(root) != tlog.HashSize || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, errCheckpoint
	}
	if lines[0] != key.Name() {
		return Checkpoint{}, fmt.Errorf("the checkpoint is of the log %q, not of %q", lines[0], key.Name())
	}
	return Checkpoint{lines[0], size, tlog.Hash(root), string(text)}, nil
}

// ParseKey takes the public key of a log, as `audit key` prints it.
func ParseKey(text string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("the log's key: %w", err)
	}
	return v, nil
}

// newKey draws a key: what is kept, and what everybody may know.
func newKey(random io.Reader, origin string) (private, public string, err error) {
	private, public, err = note.GenerateKey(random, origin)
	if err != nil {
		return "", "", fmt.Errorf("draw the log's key: %w", err)
	}
	return private, public, nil
}
