package packet

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

// Sizes of an announcement in bytes.
const (
	PartSize          = 1408 // body bytes in each part but the last
	EncapsulationSize = 1120 // ML-KEM-768 and X25519 together
	announceFixed     = 104  // the body before the encapsulation
	maxBody           = announceFixed + EncapsulationSize + bundle.MaxSignature
)

// kemHybrid is the one key encapsulation of this version: HPKE with MLKEM768-X25519, HKDF-SHA256, export only (S-2).
const kemHybrid = 1

var (
	errAnnounceLength error = bundle.Reject(bundle.ReasonAnnounceLength, "S-1", "the lengths of the announcement do not add up")
	errAnnounceParts  error = bundle.Reject(bundle.ReasonAnnounceParts, "S-1", "the parts of the announcement are inconsistent")
	errAnnounceFields error = bundle.Reject(bundle.ReasonAnnounceFields, "S-2", "a field of the announcement is outside its range")
)

// Announcement is what a sender says to open a session, in clear: it holds no secret, and nothing in it may be believed before
// its signature has been verified over SignedMessage.
//
//	0        8       24              56               88     89     90      92      94     104          104+e
//	+--------+-------+---------------+----------------+------+------+-------+-------+------+------------+-----------+
//	| number | epoch | sender key id | receiver key id| links| kem  | e     | s     | zero | encapsul.  | signature |
//	+--------+-------+---------------+----------------+------+------+-------+-------+------+------------+-----------+
type Announcement struct {
	Number        uint64       // session number (S-7)
	Epoch         bundle.Epoch // the sender's epoch, never zero
	Sender        [32]byte     // KeyID of the sender's public key, SSH wire form
	Receiver      [32]byte     // KeyID of the receiver's public key, the KEM's encoding
	Links         uint8        // links in the session, 1 to bundle.MaxLinks
	Encapsulation []byte       // EncapsulationSize bytes
	Signature     []byte       // raw SSHSIG blob, namespace session@ecluse
}

// Length is the number of bytes of the body.
func (a *Announcement) Length() int {
	return announceFixed + len(a.Encapsulation) + len(a.Signature)
}

// AppendBody appends the body to dst. An announcement outside the limits is a fault of the caller, and panics.
func (a *Announcement) AppendBody(dst []byte) []byte {
	if !a.inRange() {
		panic("packet: announcement outside its limits")
	}
	dst = binary.BigEndian.AppendUint64(dst, a.Number)
	dst = append(dst, a.Epoch[:]...)
	dst = append(dst, a.Sender[:]...)
	dst = append(dst, a.Receiver[:]...)
	dst = append(dst, a.Links, kemHybrid)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Encapsulation)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Signature)))
	dst = append(dst, make([]byte, announceFixed-94)...)
	dst = append(dst, a.Encapsulation...)
	return append(dst, a.Signature...)
}

// ParseAnnouncement reads a whole body (S-1, S-2). The encapsulation and the signature alias it.
func ParseAnnouncement(body []byte) (*Announcement, error) {
	if len(body) < announceFixed {
		return nil, errAnnounceLength
	}
	if body[89] != kemHybrid {
		return nil, errAnnounceFields
	}
	for _, reserved := range body[94:announceFixed] {
		if reserved != 0 {
			return nil, errAnnounceFields
		}
	}
	e, s := int(binary.BigEndian.Uint16(body[90:])), int(binary.BigEndian.Uint16(body[92:]))
	if len(body) != announceFixed+e+s {
		return nil, errAnnounceLength
	}
	a := &Announcement{
		Number:        binary.BigEndian.Uint64(body),
		Epoch:         bundle.Epoch(body[8:24]),
		Sender:        [32]byte(body[24:56]),
		Receiver:      [32]byte(body[56:88]),
		Links:         body[88],
		Encapsulation: body[announceFixed : announceFixed+e : announceFixed+e],
		Signature:     body[announceFixed+e:],
	}
	if !a.inRange() {
		return nil, errAnnounceFields
	}
	return a, nil
}

// inRange tells whether every field is within S-2, I-1 and section 1.
func (a *Announcement) inRange() bool {
	return !a.Epoch.IsZero() && a.Links >= 1 && a.Links <= bundle.MaxLinks && len(a.Encapsulation) == EncapsulationSize &&
		len(a.Signature) >= bundle.MinSignature && len(a.Signature) <= bundle.MaxSignature
}

// AppendPackets gives the datagrams of the announcement in the order of sending, each with memory of its own: one with an Ed25519
// signature, up to bundle.MaxParts with a larger one.
func (a *Announcement) AppendPackets() [][]byte {
	body := a.AppendBody(make([]byte, 0, a.Length()))
	parts := (len(body) + PartSize - 1) / PartSize
	packets := make([][]byte, 0, parts)
	for i := range parts {
		piece := body[i*PartSize : min((i+1)*PartSize, len(body))]
		p := make([]byte, HeaderSize, HeaderSize+len(piece))
		p[0], p[4], p[5] = Version<<4|byte(KindAnnounce), byte(i), byte(parts)
		packets = append(packets, append(p, piece...))
	}
	return packets
}

// AnnouncedSender reads the sender's key id from a datagram that holds a whole announcement; whole is false for a part of one, and for what is too short. Nothing of it is judged, and
// nothing allocated: it is for whoever sorts what comes before anything is verified.
func AnnouncedSender(datagram []byte) (keyID [32]byte, whole bool) {
	const at = HeaderSize + 24
	if len(datagram) < at+len(keyID) || datagram[4] != 0 || datagram[5] != 1 {
		return keyID, false
	}
	return [32]byte(datagram[at:]), true
}
