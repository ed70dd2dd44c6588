package bundle

import (
	"encoding/binary"
	"encoding/hex"
)

// Digest is a SHA-256 (I-3), or the id of a key.
type Digest [32]byte

// ParseDigest reads 64 lower-case hexadecimal digits. Refused: manifest-field, I-3.
func ParseDigest(s string) (Digest, error) { return parseDigest(s) }

func parseDigest[T string | []byte](s T) (d Digest, err error) {
	if !parseHex(d[:], s) {
		return Digest{}, Reject(ReasonManifestField, "I-3", "%q is not 64 lower-case hexadecimal digits", excerpt(s))
	}
	return d, nil
}

// String gives the 64 digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether every byte is zero: what stands before the first manifest of a chain.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText gives the 64 digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads the 64 digits.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = parseDigest(text)
	return err
}

// Mark is the XXH64, seed 0, of a chunk's raw content (I-4). It says where something is wrong, never whether it is right.
type Mark uint64

// ParseMark reads 16 lower-case hexadecimal digits. Refused: manifest-field, I-4.
func ParseMark(s string) (Mark, error) { return parseMark(s) }

func parseMark[T string | []byte](s T) (Mark, error) {
	var b [8]byte
	if !parseHex(b[:], s) {
		return 0, Reject(ReasonManifestField, "I-4", "%q is not 16 lower-case hexadecimal digits", excerpt(s))
	}
	return Mark(binary.BigEndian.Uint64(b[:])), nil
}

// String gives the 16 digits.
func (m Mark) String() string { return string(m.append(nil)) }

func (m Mark) append(dst []byte) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(m))
	return hex.AppendEncode(dst, b[:])
}

// parseHex fills dst from exactly twice as many lower-case digits. It is its own because encoding/hex takes upper case too.
func parseHex[T string | []byte](dst []byte, s T) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		hi, lo := nibble(s[2*i]), nibble(s[2*i+1])
		if hi|lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

// nibble gives the value of a lower-case hexadecimal digit, or 255.
func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

func appendHex(dst, b []byte) []byte { return hex.AppendEncode(dst, b) }
