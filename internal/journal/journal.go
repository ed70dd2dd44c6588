// Package journal gives small files a seal, so that a byte that has changed on the disk is noticed and never taken for what was written.
//
//	{"sender":"ctie-low", ...}          the text: one line, or a few
//	"sha256:6b86b273ff34fce1..."        the seal: SHA-256 of the text, as a JSON string, so that jq reads the file as two values
//
// It promises: what Open gives of a sealed file is what was given to Seal. A file without a seal is given as it is, because files were written without one before; its reader
// refuses whatever follows the text, and so a seal that is damaged is never mistaken for none. A file that is cut off right behind its text has lost nothing but its seal.
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// ErrDamaged is returned for a file that is not what was written.
var ErrDamaged = errors.New("its checksum does not hold")

const (
	head = "\n\"sha256:"
	tail = "\"\n"
	size = len(head) + 2*sha256.Size + len(tail)
)

// Seal gives a text with its seal.
func Seal(text []byte) []byte {
	text = bytes.TrimRight(text, "\n")
	sum := sha256.Sum256(text)
	b := append(bytes.Clone(text), head...)
	b = hex.AppendEncode(b, sum[:])
	return append(b, tail...)
}

// Open gives the text of a file. sealed is false where it has no seal.
func Open(file []byte) (text []byte, sealed bool, err error) {
	at := len(file) - size
	if at < 0 || string(file[at:at+len(head)]) != head || string(file[len(file)-len(tail):]) != tail {
		return file, false, nil
	}
	sum := sha256.Sum256(file[:at])
	if hex.EncodeToString(sum[:]) != string(file[at+len(head):len(file)-len(tail)]) {
		return nil, true, ErrDamaged
	}
	return file[:at], true, nil
}
