package bundle

import "encoding/base32"

// idText is the length of the text of an ID or an Epoch: 26 characters of 5 bits for 128, and two bits that must be zero.
const idText = 26

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ID names a bundle: 16 random bytes, never all zero (I-1).
type ID [16]byte

// ParseID reads the 26 characters of an id; there is one text for each id. Refused: manifest-field, I-1.
func ParseID(s string) (ID, error) {
	b, err := parseRandom(s)
	return ID(b), err
}

// String gives the 26 characters of the id.
func (id ID) String() string { return idEncoding.EncodeToString(id[:]) }

// IsZero tells whether this is no id at all.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText gives the text of the id; the zero id has none.
func (id ID) MarshalText() ([]byte, error) { return marshalRandom(id) }

// UnmarshalText reads the text of an id.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// Epoch names one life of a sender's state: 16 random bytes, never all zero (I-1).
type Epoch [16]byte

// ParseEpoch reads the 26 characters of an epoch. Refused: manifest-field, I-1.
func ParseEpoch(s string) (Epoch, error) {
	b, err := parseRandom(s)
	return Epoch(b), err
}

// String gives the 26 characters of the epoch.
func (e Epoch) String() string { return idEncoding.EncodeToString(e[:]) }

// IsZero tells whether this is no epoch at all.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// MarshalText gives the text of the epoch; the zero epoch has none.
func (e Epoch) MarshalText() ([]byte, error) { return marshalRandom(e) }

// UnmarshalText reads the text of an epoch.
func (e *Epoch) UnmarshalText(text []byte) (err error) {
	*e, err = ParseEpoch(string(text))
	return err
}

// parseRandom reads 16 bytes from their only text. The decoder skips line feeds and stray bits; encoding again tells.
func parseRandom(s string) ([16]byte, error) {
	if len(s) != idText {
		return [16]byte{}, Reject(ReasonManifestField, "I-1", "an id has %d characters, not %d", idText, len(s))
	}
	b, err := idEncoding.DecodeString(s)
	if err != nil || len(b) != 16 || idEncoding.EncodeToString(b) != s {
		return [16]byte{}, Reject(ReasonManifestField, "I-1", "%q is not the text of an id", s)
	}
	if [16]byte(b) == [16]byte{} {
		return [16]byte{}, Reject(ReasonManifestField, "I-1", "the id is all zero")
	}
	return [16]byte(b), nil
}

// marshalRandom refuses to write what could not be read again.
func marshalRandom(b [16]byte) ([]byte, error) {
	if b == [16]byte{} {
		return nil, Reject(ReasonManifestField, "I-1", "the id is all zero")
	}
	return idEncoding.AppendEncode(nil, b[:]), nil
}
