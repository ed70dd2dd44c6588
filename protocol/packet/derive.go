package packet

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"ecluse/protocol/bundle"
)

// Lengths of what is exported from the HPKE context for each link (S-9).
const (
	KeyExport = 32
	TagExport = 3
)

// KeyID is the SHA-256 of a public key (S-3): of its SSH wire form for a sender, of the KEM's encoding for a receiver.
func KeyID(public []byte) [32]byte {
	return sha256.Sum256(public)
}

// Info gives the HPKE info of a session (S-4). It binds the version, both public keys (sender: SSH wire form; receiver: the
// KEM's encoding), the session number, the epoch and the number of links.
func Info(senderWire, receiverKey []byte, number uint64, epoch bundle.Epoch, links uint8) []byte {
	info := []byte("ecluse session 1\n")
	info = binary.BigEndian.AppendUint32(info, uint32(len(senderWire)))
	info = append(info, senderWire...)
	info = binary.BigEndian.AppendUint32(info, uint32(len(receiverKey)))
	info = append(info, receiverKey...)
	info = binary.BigEndian.AppendUint64(info, number)
	info = append(info, epoch[:]...)
	return append(info, links, kemHybrid)
}

// SignedMessage gives the bytes that the signature of an announcement is made over (S-5), in namespace session@ecluse.
func SignedMessage(info, encapsulation []byte) []byte {
	message := make([]byte, 0, len(info)+len(encapsulation))
	message = append(message, info...)
	return append(message, encapsulation...)
}

// KeyContext is the exporter context of the packet key of a link, counted from 0 (S-9). KeyExport bytes are exported.
func KeyContext(link int) string {
	return "ecluse 1 packet key, link " + strconv.Itoa(link)
}

// TagContext is the exporter context of the session tag of a link, counted from 0 (S-9). TagExport bytes are exported.
func TagContext(link int) string {
	return "ecluse 1 session tag, link " + strconv.Itoa(link)
}
