package record

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

// HeaderSize is the size of a record's header in bytes.
//
//	0      1      2          4          8
//	+------+------+----------+----------+------------------+
//	| type | zero | zero u16 | length   | body             |
//	+------+------+----------+----------+------------------+
const HeaderSize = 8

// Type says what a record is.
type Type uint8

// The types of record.
const (
	TypeOffer     Type = 1
	TypeSlice     Type = 2
	TypeClose     Type = 3
	TypeAbandon   Type = 4
	TypeHeartbeat Type = 5
)

// Record is one of *Offer, *Slice, *Close, *Abandon and *Heartbeat.
type Record interface {
	Type() Type
	// Length is the number of bytes of the body.
	Length() int
	// AppendTo puts the record into a block. It is false, and the block as before, when the record does not fit. A record
	// that a reader would refuse is a fault of the caller, and panics.
	AppendTo(b *Block) bool
}

// putHeader writes the header of a record to the first HeaderSize bytes of b.
func putHeader(b []byte, t Type, length int) {
	clear(b[:HeaderSize])
	b[0] = byte(t)
	binary.BigEndian.PutUint32(b[4:], uint32(length))
}

// The refusals of this package are made once: a peer's faults allocate nothing.
var (
	errBlockSum     error = bundle.Reject(bundle.ReasonBlockCRC, "B-1", "the sum over the block does not hold")
	errBlockShort   error = bundle.Reject(bundle.ReasonBlockHeader, "B-2", "the block is shorter than its header")
	errBlockNumber  error = bundle.Reject(bundle.ReasonBlockHeader, "B-2", "the block has another number than its packets")
	errBlockUsed    error = bundle.Reject(bundle.ReasonBlockHeader, "B-2", "the records are longer than the block")
	errBlockPadding error = bundle.Reject(bundle.ReasonBlockHeader, "B-2", "a reserved or padding byte is not zero")
	errHeaderCut    error = bundle.Reject(bundle.ReasonRecordHeader, "R-1", "the header of a record is cut")
	errHeaderZero   error = bundle.Reject(bundle.ReasonRecordHeader, "R-1", "a reserved byte of a record is not zero")
	errHeaderLength error = bundle.Reject(bundle.ReasonRecordHeader, "R-1", "the record does not end within its block")
	errTooMany      error = bundle.Reject(bundle.ReasonRecordHeader, "R-1", "more records than a block may hold")
	errType         error = bundle.Reject(bundle.ReasonRecordType, "R-2", "a type that this version does not know")
	errBodyLength   error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the body is too short or too long")
	errID           error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the bundle or the epoch is all zero")
	errTenant       error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the tenant is not a name")
	errSignature    error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the signature has an impossible length")
)

// mustHold panics with the refusal that a reader would give: writing such a record is a fault of this side.
func mustHold(err error) {
	if err != nil {
		panic("record: internal error: " + err.Error())
	}
}
