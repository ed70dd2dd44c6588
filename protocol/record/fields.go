package record

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

// fields reads a body field by field. After the first field that is not there everything reads as zero and ok is false, so a
// parser checks once, at the end.
type fields struct {
	rest  []byte
	short bool
}

var zeroes [32]byte // what a missing field of fixed size reads as

// bytes takes the next n bytes, n at most 32 or checked by the caller against what it needs.
func (f *fields) bytes(n int) []byte {
	if n > len(f.rest) {
		f.short, f.rest = true, nil
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// fixed takes n bytes, or n zeroes where they are missing; n is at most 32.
func (f *fields) fixed(n int) []byte {
	if b := f.bytes(n); b != nil {
		return b
	}
	return zeroes[:n]
}

func (f *fields) u8() uint8   { return f.fixed(1)[0] }
func (f *fields) u16() uint16 { return binary.BigEndian.Uint16(f.fixed(2)) }
func (f *fields) u32() uint32 { return binary.BigEndian.Uint32(f.fixed(4)) }
func (f *fields) u64() uint64 { return binary.BigEndian.Uint64(f.fixed(8)) }

func (f *fields) id() bundle.ID         { return bundle.ID(f.fixed(16)) }
func (f *fields) epoch() bundle.Epoch   { return bundle.Epoch(f.fixed(16)) }
func (f *fields) digest() bundle.Digest { return bundle.Digest(f.fixed(32)) }

func (f *fields) str8() []byte  { return f.bytes(int(f.u8())) }
func (f *fields) str16() []byte { return f.bytes(int(f.u16())) }

// end tells whether every field was there and nothing is left over.
func (f *fields) end() error {
	if f.short || len(f.rest) != 0 {
		return errBodyLength
	}
	return nil
}

// keep sets a string to bytes, and makes a new one only when they differ: records repeat every second, and their names with them.
func keep[S ~string](s *S, b []byte) {
	if string(*s) != string(b) {
		*s = S(b)
	}
}

func appendStr8[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

func appendStr16[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// checkName refuses what is not the name of a tenant (I-2).
func checkName(n bundle.Name) error {
	if _, err := bundle.ParseName(string(n)); err != nil {
		return errTenant
	}
	return nil
}

// checkOwner refuses an all-zero bundle or epoch (I-1) and what is not the name of a tenant (I-2): the three fields that most
// records begin with.
func checkOwner(id bundle.ID, epoch bundle.Epoch, tenant bundle.Name) error {
	if id.IsZero() || epoch.IsZero() {
		return errID
	}
	return checkName(tenant)
}

// checkSignature refuses a signature of a length outside section 1.
func checkSignature(s []byte) error {
	if len(s) < bundle.MinSignature || len(s) > bundle.MaxSignature {
		return errSignature
	}
	return nil
}
