package packet

import "ecluse/protocol/bundle"

// Version is the version of the protocol that this package speaks; it stands in the high four bits of byte 0.
const Version = 1

// Sizes in bytes.
const (
	HeaderSize = 16                               // clear header, the associated data of the seal
	InnerSize  = 12                               // inner header, sealed with the shard
	TagSize    = 16                               // what AES-256-GCM adds
	Overhead   = HeaderSize + InnerSize + TagSize // a data packet is its shard and this much
	MinPacket  = Overhead + bundle.MinShard       // the smallest data packet
	MaxPacket  = Overhead + bundle.MaxShard       // the largest datagram of the protocol
)

// The clear header of a data packet. Number and salt together are the nonce.
//
//	0      1            4                     10                    16
//	+------+------------+---------------------+---------------------+
//	| v|k  | session tag| packet number (48)  | salt (48)           |
//	+------+------------+---------------------+---------------------+
const (
	tagOffset    = 1
	numberOffset = 4
	saltOffset   = 10
	maxNumber    = 1<<48 - 1
)

// Kind says what a datagram is: the low four bits of byte 0.
type Kind uint8

// The kinds of datagram (P-2).
const (
	KindAnnounce Kind = 1
	KindData     Kind = 2
	KindProbe    Kind = 3
)

// Tag names the session and link whose key opens a packet (P-3). Two sessions may share one: it is a hint, never proof.
type Tag [3]byte

// The refusals of this package are made once: refusing a packet allocates nothing (P-5).
var (
	errLength   error = bundle.Reject(bundle.ReasonPacketLength, "P-1", "the length of the datagram fits no shard")
	errVersion  error = bundle.Reject(bundle.ReasonPacketVersion, "P-2", "another version of the protocol")
	errKind     error = bundle.Reject(bundle.ReasonPacketKind, "P-2", "neither announcement, data nor probe")
	errTag      error = bundle.Reject(bundle.ReasonPacketTag, "P-3", "the session has another tag")
	errSeal     error = bundle.Reject(bundle.ReasonPacketSeal, "P-5", "the seal does not open")
	errReplay   error = bundle.Reject(bundle.ReasonPacketReplay, "P-6", "a number seen before, or too old to tell")
	errFloor    error = bundle.Reject(bundle.ReasonPacketFloor, "P-7", "a number at or below the one stored before a restart")
	errCode     error = bundle.Reject(bundle.ReasonPacketCode, "P-8", "k, m and index form no code")
	errReserved error = bundle.Reject(bundle.ReasonPacketReserved, "P-8", "the reserved bytes of the inner header are not zero")
)

// Classify reads the first bytes of a datagram of any length and says what it claims to be (P-1, P-2). The tag means
// nothing for an announcement. Nothing is believed yet: an announcement goes to an Assembler, the others to the Opener of their tag.
// It allocates nothing.
func Classify(datagram []byte) (Kind, Tag, error) {
	if len(datagram) < HeaderSize {
		return 0, Tag{}, errLength
	}
	if datagram[0]>>4 != Version {
		return 0, Tag{}, errVersion
	}
	tag := Tag(datagram[tagOffset:numberOffset])
	switch kind := Kind(datagram[0] & 0x0f); kind {
	case KindAnnounce:
		return kind, tag, nil
	case KindData, KindProbe:
		if !shardAllowed(len(datagram) - Overhead) {
			return 0, Tag{}, errLength
		}
		return kind, tag, nil
	default:
		return 0, Tag{}, errKind
	}
}

// shardAllowed tells whether a shard may have n bytes (section 1).
func shardAllowed(n int) bool {
	return n >= bundle.MinShard && n <= bundle.MaxShard && n%bundle.ShardMultiple == 0
}
