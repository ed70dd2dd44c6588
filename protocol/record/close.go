package record

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

const maxClose = 16 + 16 + 1 + bundle.MaxName + 8 + 32 + 8 + 32 + 4 + 4 + 2 + bundle.MaxSignature

// Close says that a bundle has ended, and how its manifest is known. It is repeated each second for a while.
type Close struct {
	Bundle         bundle.ID
	Epoch          bundle.Epoch
	Tenant         bundle.Name
	Sequence       uint64        // 1 to bundle.MaxSequence
	Previous       bundle.Digest // of the manifest before; zero for sequence 1, and only there
	ManifestSize   uint64        // bytes
	Manifest       bundle.Digest
	Chunks         uint32 // of content
	ManifestChunks uint32 // numbered on from the content's
	Signature      []byte // raw SSHSIG blob, namespace bundle@ecluse, over the manifest
}

var (
	errCloseSequence error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the sequence is outside its limits, or contradicts the manifest before")
	errCloseManifest error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "size or chunks of the manifest are outside their limits")
)

// Type is TypeClose.
func (c *Close) Type() Type { return TypeClose }

// Length is the number of bytes of the body.
func (c *Close) Length() int {
	return maxClose - bundle.MaxName - bundle.MaxSignature + len(c.Tenant) + len(c.Signature)
}

// Append appends the body to dst.
func (c *Close) Append(dst []byte) []byte {
	dst = append(dst, c.Bundle[:]...)
	dst = append(dst, c.Epoch[:]...)
	dst = appendStr8(dst, c.Tenant)
	dst = binary.BigEndian.AppendUint64(dst, c.Sequence)
	dst = append(dst, c.Previous[:]...)
	dst = binary.BigEndian.AppendUint64(dst, c.ManifestSize)
	dst = append(dst, c.Manifest[:]...)
	dst = binary.BigEndian.AppendUint32(dst, c.Chunks)
	dst = binary.BigEndian.AppendUint32(dst, c.ManifestChunks)
	return appendStr16(dst, c.Signature)
}

// Parse reads a body, and refuses it with record-body. Signature aliases the body.
func (c *Close) Parse(body []byte) error {
	f := fields{rest: body}
	c.Bundle, c.Epoch = f.id(), f.epoch()
	keep(&c.Tenant, f.str8())
	c.Sequence = f.u64()
	c.Previous = f.digest()
	c.ManifestSize = f.u64()
	c.Manifest = f.digest()
	c.Chunks, c.ManifestChunks = f.u32(), f.u32()
	c.Signature = f.str16()
	if err := f.end(); err != nil {
		return err
	}
	return c.check()
}

// AppendTo puts the close into a block; it is false when it does not fit.
func (c *Close) AppendTo(b *Block) bool {
	mustHold(c.check())
	body := b.add(TypeClose, c.Length())
	if body == nil {
		return false
	}
	c.Append(body)
	return true
}

// check refuses values outside I-1, I-2 and section 1.
func (c *Close) check() error {
	if err := checkOwner(c.Bundle, c.Epoch, c.Tenant); err != nil {
		return err
	}
	switch {
	case c.Sequence < 1 || c.Sequence > bundle.MaxSequence || (c.Sequence == 1) != c.Previous.IsZero():
		return errCloseSequence
	case c.ManifestSize < 1 || c.ManifestSize > bundle.MaxManifest,
		c.Chunks > bundle.MaxContentChunks,
		c.ManifestChunks < 1 || c.ManifestChunks > bundle.MaxChunks-bundle.MaxContentChunks:
		return errCloseManifest
	}
	return checkSignature(c.Signature)
}
