package record

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

const (
	heartbeatFixed = 8 + 16 + 32 + 4 + 8 + 2
	headFixed      = 1 + 8 + 32
	maxHeartbeat   = heartbeatFixed + bundle.MaxTenants*(headFixed+bundle.MaxName)
)

// Heartbeat is sent each second, also when nothing else is.
type Heartbeat struct {
	Clock        int64        // the sender's, Unix nanoseconds
	Epoch        bundle.Epoch // the sender's
	TicketKey    [32]byte
	Waiting      uint32       // bundles
	WaitingBytes uint64       // bytes
	Tenants      []TenantHead // in ascending order of their names, each once
}

// TenantHead is how far the sender has counted for one tenant: what lets a receiver miss a bundle that it never heard of.
type TenantHead struct {
	Tenant   bundle.Name
	Sequence uint64        // the highest, 0 for none
	Manifest bundle.Digest // of that sequence; zero for sequence 0, and only there
}

var (
	errHeartbeatEpoch  error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the epoch of the heartbeat is all zero")
	errHeartbeatCount  error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the heartbeat has more tenants than allowed")
	errHeartbeatDigest error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the sequence of a tenant is above its limit, or contradicts its manifest")
	errHeartbeatOrder  error = bundle.Reject(bundle.ReasonRecordBody, "R-10", "the tenants of the heartbeat are not in order, each once")
)

// Type is TypeHeartbeat.
func (h *Heartbeat) Type() Type { return TypeHeartbeat }

// Length is the number of bytes of the body.
func (h *Heartbeat) Length() int {
	n := heartbeatFixed + headFixed*len(h.Tenants)
	for i := range h.Tenants {
		n += len(h.Tenants[i].Tenant)
	}
	return n
}

// Append appends the body to dst.
func (h *Heartbeat) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.Clock))
	dst = append(dst, h.Epoch[:]...)
	dst = append(dst, h.TicketKey[:]...)
	dst = binary.BigEndian.AppendUint32(dst, h.Waiting)
	dst = binary.BigEndian.AppendUint64(dst, h.WaitingBytes)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Tenants)))
	for i := range h.Tenants {
		t := &h.Tenants[i]
		dst = appendStr8(dst, t.Tenant)
		dst = binary.BigEndian.AppendUint64(dst, t.Sequence)
		dst = append(dst, t.Manifest[:]...)
	}
	return dst
}

// Parse reads a body, and refuses it with record-body. It uses Tenants again; the body may be used again afterwards.
func (h *Heartbeat) Parse(body []byte) error {
	f := fields{rest: body}
	h.Clock = int64(f.u64())
	h.Epoch = f.epoch()
	h.TicketKey = [32]byte(f.fixed(32))
	h.Waiting, h.WaitingBytes = f.u32(), f.u64()
	count := int(f.u16())
	if count > bundle.MaxTenants {
		return errHeartbeatCount
	}
	h.resize(count)
	for i := range h.Tenants {
		t := &h.Tenants[i]
		keep(&t.Tenant, f.str8())
		t.Sequence, t.Manifest = f.u64(), f.digest()
	}
	if err := f.end(); err != nil {
		return err
	}
	return h.check()
}

// resize gives Tenants a length, keeping the names that are there already for the next Parse to compare with.
func (h *Heartbeat) resize(n int) {
	if n > cap(h.Tenants) {
		grown := make([]TenantHead, n)
		copy(grown, h.Tenants[:cap(h.Tenants)])
		h.Tenants = grown
	}
	h.Tenants = h.Tenants[:n]
}

// AppendTo puts the heartbeat into a block; it is false when it does not fit.
func (h *Heartbeat) AppendTo(b *Block) bool {
	mustHold(h.check())
	body := b.add(TypeHeartbeat, h.Length())
	if body == nil {
		return false
	}
	h.Append(body)
	return true
}

// check refuses values outside I-1, I-2 and section 1, and tenants out of order.
func (h *Heartbeat) check() error {
	switch {
	case h.Epoch.IsZero():
		return errHeartbeatEpoch
	case len(h.Tenants) > bundle.MaxTenants:
		return errHeartbeatCount
	}
	for i := range h.Tenants {
		t := &h.Tenants[i]
		if err := checkName(t.Tenant); err != nil {
			return err
		}
		switch {
		case i > 0 && t.Tenant <= h.Tenants[i-1].Tenant:
			return errHeartbeatOrder
		case t.Sequence > bundle.MaxSequence || (t.Sequence == 0) != t.Manifest.IsZero():
			return errHeartbeatDigest
		}
	}
	return nil
}
