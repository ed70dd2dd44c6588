package record

import (
	"encoding/binary"
	"strings"

	"ecluse/protocol/bundle"
)

const maxOffer = 16 + 16 + 1 + bundle.MaxName + 1 + 4 + 4 + 8 + 4 + 4 + 8 + 2 + bundle.MaxComponent

// Offer says that a bundle is coming. It is repeated each second while the bundle is open.
type Offer struct {
	Bundle    bundle.ID
	Epoch     bundle.Epoch
	Tenant    bundle.Name
	Class     bundle.Class
	Files     uint32
	Dirs      uint32
	Bytes     uint64 // of content
	Chunks    uint32 // of content
	ChunkSize uint32 // bytes: a power of two
	Created   int64  // Unix seconds, from 1970 to 9999
	Name      string // one path component
}

var (
	errOfferClass  error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the class of the offer is none")
	errOfferTotals error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the offer is larger than a bundle may be")
	errOfferChunk  error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the chunk size is no power of two within its limits")
	errOfferTime   error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the offer was created in an impossible year")
	errOfferName   error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the name of the offer is not one path component")
)

// Type is TypeOffer.
func (o *Offer) Type() Type { return TypeOffer }

// Length is the number of bytes of the body.
func (o *Offer) Length() int {
	return maxOffer - bundle.MaxName - bundle.MaxComponent + len(o.Tenant) + len(o.Name)
}

// Append appends the body to dst.
func (o *Offer) Append(dst []byte) []byte {
	dst = append(dst, o.Bundle[:]...)
	dst = append(dst, o.Epoch[:]...)
	dst = appendStr8(dst, o.Tenant)
	dst = append(dst, byte(o.Class))
	dst = binary.BigEndian.AppendUint32(dst, o.Files)
	dst = binary.BigEndian.AppendUint32(dst, o.Dirs)
	dst = binary.BigEndian.AppendUint64(dst, o.Bytes)
	dst = binary.BigEndian.AppendUint32(dst, o.Chunks)
	dst = binary.BigEndian.AppendUint32(dst, o.ChunkSize)
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.Created))
	return appendStr16(dst, o.Name)
}

// Parse reads a body, and refuses it with record-body. The body may be used again afterwards.
func (o *Offer) Parse(body []byte) error {
	f := fields{rest: body}
	o.Bundle, o.Epoch = f.id(), f.epoch()
	keep(&o.Tenant, f.str8())
	o.Class = bundle.Class(f.u8())
	o.Files, o.Dirs = f.u32(), f.u32()
	o.Bytes = f.u64()
	o.Chunks, o.ChunkSize = f.u32(), f.u32()
	o.Created = int64(f.u64())
	keep(&o.Name, f.str16())
	if err := f.end(); err != nil {
		return err
	}
	return o.check()
}

// AppendTo puts the offer into a block; it is false when it does not fit.
func (o *Offer) AppendTo(b *Block) bool {
	mustHold(o.check())
	body := b.add(TypeOffer, o.Length())
	if body == nil {
		return false
	}
	o.Append(body)
	return true
}

// check refuses values outside I-1, I-2, N-1, N-2 and section 1.
func (o *Offer) check() error {
	if err := checkOwner(o.Bundle, o.Epoch, o.Tenant); err != nil {
		return err
	}
	switch {
	case o.Class < bundle.Urgent || o.Class > bundle.Bulk:
		return errOfferClass
	case o.Files > bundle.MaxFiles || o.Dirs > bundle.MaxDirs || o.Bytes > bundle.MaxBytes || o.Chunks > bundle.MaxContentChunks:
		return errOfferTotals
	case o.ChunkSize < bundle.ChunkSizeMin || o.ChunkSize > bundle.ChunkSizeMax || o.ChunkSize&(o.ChunkSize-1) != 0:
		return errOfferChunk
	case o.Created < 0 || o.Created > bundle.MaxCreated:
		return errOfferTime
	}
	if _, err := bundle.ParsePath(o.Name); err != nil || strings.Contains(o.Name, "/") {
		return errOfferName
	}
	return nil
}
