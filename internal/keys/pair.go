package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
)

// pairFormat is the first line of a .pair file. What follows depends on the kind:
//
//	ecluse-pair-1                              ecluse-pair-1
//	kind sender                                kind receiver
//	name <name>                                name <name>
//	epoch <26 characters>                      key mlkem768-x25519 <base64, 1,216 bytes>
//	key ssh-ed25519 <base64>
//
// Every line ends in a line feed, and there is one text for each pair: the fingerprint covers all of it.
const pairFormat = "ecluse-pair-1"

// MaxPair is the size of the largest .pair file in bytes.
const MaxPair = 4096

// PairKind says whose .pair file it is.
type PairKind string

// The kinds of .pair file.
const (
	PairSender   PairKind = "sender"
	PairReceiver PairKind = "receiver"
)

// Pair is what one side tells the other, carried by a person: nothing in it is secret, and all of it must be compared. It is made by
// NewSenderPair, NewReceiverPair or ParsePair, and does not change.
type Pair struct {
	Kind     PairKind
	Name     bundle.Name
	Epoch    bundle.Epoch    // a sender's
	Signer   ssh.PublicKey   // a sender's
	Receiver *ReceiverPublic // a receiver's
}

// NewSenderPair makes the .pair of a sender.
func NewSenderPair(name bundle.Name, epoch bundle.Epoch, key ssh.PublicKey) (*Pair, error) {
	if _, err := bundle.ParseName(string(name)); err != nil {
		return nil, fmt.Errorf("pair a sender: %w", err)
	}
	if epoch.IsZero() {
		return nil, errors.New("pair a sender: it has no epoch")
	}
	if err := CheckKey(key); err != nil {
		return nil, fmt.Errorf("pair a sender: %w", err)
	}
	return &Pair{Kind: PairSender, Name: name, Epoch: epoch, Signer: key}, nil
}

// NewReceiverPair makes the .pair of a receiver.
func NewReceiverPair(name bundle.Name, key *ReceiverPublic) (*Pair, error) {
	if _, err := bundle.ParseName(string(name)); err != nil {
		return nil, fmt.Errorf("pair a receiver: %w", err)
	}
	if key == nil {
		return nil, errors.New("pair a receiver: it has no key")
	}
	return &Pair{Kind: PairReceiver, Name: name, Receiver: key}, nil
}

// Marshal gives the text of the file.
func (p *Pair) Marshal() []byte {
	text := fmt.Appendf(nil, "%s\nkind %s\nname %s\n", pairFormat, p.Kind, p.Name)
	if p.Kind == PairSender {
		text = fmt.Appendf(text, "epoch %s\n", p.Epoch)
		return append(text, "key "+string(publicLine(p.Signer, ""))...)
	}
	return fmt.Appendf(text, "key %s %s\n", kemName, base64.StdEncoding.EncodeToString(p.Receiver.bytes))
}

// Fingerprint covers every byte of the text: name, keys and epoch.
func (p *Pair) Fingerprint() string {
	sum := sha256.Sum256(p.Marshal())
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// ReadPair reads a .pair file.
func ReadPair(path string) (*Pair, error) {
	text, _, err := readFile(path, MaxPair)
	if err != nil {
		return nil, fmt.Errorf("read pair: %w", err)
	}
	p, err := ParsePair(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return p, nil
}

// WritePair makes a .pair file that all may read. The name must be free; the file is durable on return.
func WritePair(path string, p *Pair) error {
	if err := create(path, p.Marshal(), 0o644); err != nil {
		return fmt.Errorf("write pair: %w", err)
	}
	return nil
}

// ParsePair reads exactly what Marshal gives.
func ParsePair(text []byte) (*Pair, error) {
	if len(text) > MaxPair {
		return nil, fmt.Errorf("parse pair: more than %d bytes", MaxPair)
	}
	if bytes.IndexByte(text, '\r') >= 0 {
		return nil, errors.New("parse pair: its lines end in CR LF: something on the way has changed it")
	}
	p, err := parsePair(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse pair: %w", err)
	}
	if !bytes.Equal(p.Marshal(), text) {
		return nil, errors.New("parse pair: it is not in its one form")
	}
	return p, nil
}

func parsePair(text string) (*Pair, error) {
	rest, ok := strings.CutPrefix(text, pairFormat+"\n")
	if !ok {
		return nil, fmt.Errorf("it does not begin with the line %s", pairFormat)
	}
	kind, rest, err := field(rest, "kind")
	if err != nil {
		return nil, err
	}
	word, rest, err := field(rest, "name")
	if err != nil {
		return nil, err
	}
	name, err := bundle.ParseName(word)
	if err != nil {
		return nil, err
	}
	switch PairKind(kind) {
	case PairSender:
		return parseSender(name, rest)
	case PairReceiver:
		return parseReceiver(name, rest)
	}
	return nil, fmt.Errorf("its kind is %s, not %s or %s", printable(kind), PairSender, PairReceiver)
}

func parseSender(name bundle.Name, text string) (*Pair, error) {
	word, rest, err := field(text, "epoch")
	if err != nil {
		return nil, err
	}
	epoch, err := bundle.ParseEpoch(word)
	if err != nil {
		return nil, err
	}
	word, _, err = field(rest, "key")
	if err != nil {
		return nil, err
	}
	algorithm, encoded, _ := strings.Cut(word, " ")
	key, err := parseKey(algorithm, encoded, sendersKeys)
	if err != nil {
		return nil, err
	}
	return NewSenderPair(name, epoch, key)
}

func parseReceiver(name bundle.Name, text string) (*Pair, error) {
	word, _, err := field(text, "key")
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(word, kemName+" ")
	if !ok {
		return nil, fmt.Errorf("its key is not of kind %s", kemName)
	}
	encoding, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("its key is not base64: %w", err)
	}
	key, err := ParseReceiverPublic(encoding)
	if err != nil {
		return nil, err
	}
	return NewReceiverPair(name, key)
}

// field takes one line off a text, and its key off the line.
func field(text, key string) (value, rest string, err error) {
	line, rest, whole := strings.Cut(text, "\n")
	value, ok := strings.CutPrefix(line, key+" ")
	if !ok || !whole {
		return "", "", fmt.Errorf("a line that begins with %q is missing", key)
	}
	return value, rest, nil
}
