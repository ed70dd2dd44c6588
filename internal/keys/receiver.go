package keys

import (
	"bytes"
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// receiverFormat is the first line of a receiver's private file.
//
//	ecluse-receiver-key-1
//	id <64 hexadecimal digits: the key id>
//	mlkem768-x25519 <base64 of the 32 bytes of the seed>
const receiverFormat = "ecluse-receiver-key-1"

// kemName names the KEM in files.
const kemName = "mlkem768-x25519"

// ReceiverKey is the receiver's own key pair.
type ReceiverKey struct {
	private hpke.PrivateKey
	public  []byte
	id      [32]byte
}

// GenerateReceiverKey makes a key pair and its private file, for its owner alone. The name must be free; the file is durable on return.
func GenerateReceiverKey(path string) (*ReceiverKey, error) {
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	k := newReceiverKey(private)
	text, err := k.marshal()
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	err = create(path, text, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make key %s: it is there already, and a key is never overwritten: %w", path, os.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	return k, nil
}

func newReceiverKey(private hpke.PrivateKey) *ReceiverKey {
	public := private.PublicKey().Bytes()
	return &ReceiverKey{private: private, public: public, id: packet.KeyID(public)}
}

func (k *ReceiverKey) marshal() ([]byte, error) {
	seed, err := k.private.Bytes()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s\nid %s\n%s %s\n", receiverFormat, bundle.Digest(k.id), kemName, base64.StdEncoding.EncodeToString(seed)), nil
}

// LoadReceiverKey reads a private file. The id in it tells a damaged one, which would otherwise be another key.
func LoadReceiverKey(path string) (*ReceiverKey, error) {
	text, info, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load receiver key: %w", err)
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, fmt.Errorf("load receiver key: %w", err)
	}
	k, err := parseReceiverKey(text)
	if err != nil {
		return nil, fmt.Errorf("load receiver key %s: %w", path, err)
	}
	return k, nil
}

// parseReceiverKey says nothing of the text in its errors: it is secret.
func parseReceiverKey(text []byte) (*ReceiverKey, error) {
	lines := bytes.Split(text, []byte("\n"))
	if string(lines[0]) != receiverFormat {
		return nil, fmt.Errorf("it does not begin with the line %s", receiverFormat)
	}
	if len(lines) != 4 {
		return nil, errors.New("it does not have three lines")
	}
	encoded, ok := bytes.CutPrefix(lines[2], []byte(kemName+" "))
	if !ok {
		return nil, fmt.Errorf("its third line does not begin with %s", kemName)
	}
	seed, err := base64.StdEncoding.Strict().DecodeString(string(encoded))
	if err != nil {
		return nil, errors.New("its key is not base64")
	}
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, err
	}
	k := newReceiverKey(private)
	again, err := k.marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, errors.New("it is damaged: id and key do not belong together, or it is not in its one form")
	}
	return k, nil
}

// Private gives the private half.
func (k *ReceiverKey) Private() hpke.PrivateKey { return k.private }

// Public gives the public half as the KEM encodes it. The slice is a copy.
func (k *ReceiverKey) Public() []byte { return bytes.Clone(k.public) }

// ID gives the key id (S-3).
func (k *ReceiverKey) ID() [32]byte { return k.id }

// Exporter gives the secrets of one HPKE context (RFC 9180 section 5.3).
type Exporter interface {
	Export(context string, length int) ([]byte, error)
}

// ReceiverPublic is the receiver's public key, as a sender holds it.
type ReceiverPublic struct {
	key   hpke.PublicKey
	bytes []byte
}

// ParseReceiverPublic reads the KEM's encoding, and tries the key once: one that nothing can be sent to is refused here.
func ParseReceiverPublic(encoding []byte) (*ReceiverPublic, error) {
	key, err := hpke.MLKEM768X25519().NewPublicKey(encoding)
	if err != nil {
		return nil, fmt.Errorf("parse the receiver's key: %w", err)
	}
	p := &ReceiverPublic{key: key, bytes: key.Bytes()}
	if !bytes.Equal(p.bytes, encoding) {
		return nil, errors.New("parse the receiver's key: it is not in its one encoding")
	}
	if _, _, err := p.Encapsulate(nil); err != nil {
		return nil, fmt.Errorf("parse the receiver's key: %w", err)
	}
	return p, nil
}

// Bytes gives the KEM's encoding. The slice is a copy.
func (p *ReceiverPublic) Bytes() []byte { return bytes.Clone(p.bytes) }

// ID gives the key id (S-3).
func (p *ReceiverPublic) ID() [32]byte { return packet.KeyID(p.bytes) }

// Encapsulate makes an HPKE context for the receiver, bound to info (S-4, S-9).
func (p *ReceiverPublic) Encapsulate(info []byte) (enc []byte, e Exporter, err error) {
	enc, sender, err := hpke.NewSender(p.key, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulate: %w", err)
	}
	return enc, sender, nil
}
