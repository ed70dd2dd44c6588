package collect

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// Enrolment says who may open sessions. It never changes; pairing makes another one.
type Enrolment interface {
	// Sender gives the name and the key of a sender by its key id (S-3).
	Sender(keyID [32]byte) (name bundle.Name, key ssh.PublicKey, ok bool)
	// MayOpen tells whether that key may open sessions at a time; the error is one of the rejections of S-6.
	MayOpen(keyID [32]byte, at time.Time) error
}

// KeyVerifier is the Verifier of a receiver: it believes enrolled keys, and remembers numbers durably.
type KeyVerifier struct {
	key       hpke.PrivateKey
	public    []byte
	keyID     [32]byte
	numbers   Numbers
	enrolment atomic.Pointer[Enrolment]
}

// NewKeyVerifier makes a Verifier for the receiver's own key pair (MLKEM768-X25519).
func NewKeyVerifier(key hpke.PrivateKey, e Enrolment, numbers Numbers) *KeyVerifier {
	public := key.PublicKey().Bytes()
	v := &KeyVerifier{key: key, public: public, keyID: packet.KeyID(public), numbers: numbers}
	v.Enrol(e)
	return v
}

// Enrol replaces the enrolment, at any time. Call Collector.Recheck afterwards, so that sessions of senders that are gone end.
func (v *KeyVerifier) Enrol(e Enrolment) { v.enrolment.Store(&e) }

var (
	errUnknownSender error = bundle.Reject(bundle.ReasonSessionSenderUnknown, "S-3", "the sender's key is not enrolled")
	errOtherReceiver error = bundle.Reject(bundle.ReasonSessionReceiverOther, "S-3", "made for the key of another receiver")
	errLinks         error = bundle.Reject(bundle.ReasonSessionConflict, "S-7", "the links are not those that were stored with this number")
)

// Enrolled looks a key id up.
func (v *KeyVerifier) Enrolled(keyID [32]byte) (name string, ok bool) {
	sender, _, ok := (*v.enrolment.Load()).Sender(keyID)
	return string(sender), ok
}

// Recognise keeps S-3, and S-7 as far as it needs no signature.
func (v *KeyVerifier) Recognise(a *packet.Announcement) (name string, err error) {
	sender, _, ok := (*v.enrolment.Load()).Sender(a.Sender)
	switch {
	case !ok:
		return fingerprint(a.Sender), errUnknownSender
	case a.Receiver != v.keyID:
		return string(sender), errOtherReceiver
	}
	numbers := v.numbers.Of(sender)
	if i := find(numbers, a.Sender, a.Epoch); i >= 0 && a.Number < numbers[i].Number {
		return string(sender), errNumberOld
	}
	return string(sender), nil
}

// Verify keeps S-3 to S-7 and S-9.
func (v *KeyVerifier) Verify(now time.Time, a *packet.Announcement, body []byte) (*Session, error) {
	enrolment := *v.enrolment.Load()
	if _, err := v.Recognise(a); err != nil {
		return nil, err
	}
	sender, key, ok := enrolment.Sender(a.Sender)
	if !ok {
		return nil, errUnknownSender // enrolment has changed in between
	}
	if err := enrolment.MayOpen(a.Sender, now); err != nil {
		return nil, err
	}
	info := packet.Info(key.Marshal(), v.public, a.Number, a.Epoch, a.Links)
	if err := verifySession(key, a.Signature, packet.SignedMessage(info, a.Encapsulation)); err != nil {
		return nil, err
	}
	links, err := v.derive(a, info)
	if err != nil {
		return nil, err
	}
	s := &Session{
		Info:  SessionInfo{Sender: sender, Key: key, Epoch: a.Epoch, Number: a.Number, Opened: now},
		KeyID: a.Sender,
		Links: links,
	}
	return s, v.number(s, sha256.Sum256(body))
}

// verifySession is S-5. Whatever is wrong with the signature, it does not open a session.
func verifySession(key ssh.PublicKey, blob, message []byte) error {
	signature, err := bundle.ParseSignature(blob, bundle.NamespaceSession)
	switch {
	case err != nil:
		return bundle.Reject(bundle.ReasonSessionSignature, "S-5", "%v", err)
	case !bytes.Equal(signature.PublicKey, key.Marshal()):
		return bundle.Reject(bundle.ReasonSessionSignature, "S-5", "made by another key than the one announced")
	}
	if err := signature.Verify(sha512.Sum512(message)); err != nil {
		return bundle.Reject(bundle.ReasonSessionSignature, "S-5", "%v", err)
	}
	return nil
}

// derive opens the encapsulation and exports key and tag of each link (S-4, S-9).
func (v *KeyVerifier) derive(a *packet.Announcement, info []byte) ([]LinkKey, error) {
	recipient, err := hpke.NewRecipient(a.Encapsulation, v.key, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return nil, bundle.Reject(bundle.ReasonSessionKEM, "S-9", "%v", err)
	}
	links := make([]LinkKey, a.Links)
	for i := range links {
		key, err := recipient.Export(packet.KeyContext(i), packet.KeyExport)
		if err != nil {
			return nil, fmt.Errorf("derive the key of link %d: %w", i, err)
		}
		tag, err := recipient.Export(packet.TagContext(i), packet.TagExport)
		if err != nil {
			return nil, fmt.Errorf("derive the tag of link %d: %w", i, err)
		}
		links[i] = LinkKey{Key: [32]byte(key), Tag: packet.Tag(tag)}
	}
	return links, nil
}

// number is S-7: it stores a new number, and gives a session from before a restart its rank and its floors (P-7).
func (v *KeyVerifier) number(s *Session, announcement bundle.Digest) error {
	numbers := v.numbers.Of(s.Info.Sender)
	n, again, err := judgeNumber(numbers, s.KeyID, s.Info.Epoch, s.Info.Number, announcement)
	if err != nil {
		return err
	}
	if again {
		if len(n.Floors) != len(s.Links) {
			return errLinks
		}
		for i := range s.Links {
			s.Links[i].Floor = n.Floors[i]
		}
		s.Rank = n.Rank
		return nil
	}
	numbers = withNumber(numbers, Number{Key: s.KeyID, Epoch: s.Info.Epoch, Number: s.Info.Number, Announcement: announcement,
		Floors: make([]Floor, len(s.Links))})
	s.Rank = numbers[len(numbers)-1].Rank
	return v.numbers.Store(s.Info.Sender, numbers)
}

// Store keeps the floors of a session (P-7).
func (v *KeyVerifier) Store(s *Session, floors []Floor) error {
	numbers, changed := withFloors(slices.Clone(v.numbers.Of(s.Info.Sender)), s, floors)
	if !changed {
		return nil
	}
	return v.numbers.Store(s.Info.Sender, numbers)
}

// fingerprintPrefix is how a fingerprint begins, and no name.
const fingerprintPrefix = "SHA256:"

// fingerprint shows a key id as ssh-keygen shows the key: it is the same SHA-256.
func fingerprint(id [32]byte) string {
	return fingerprintPrefix + base64.RawStdEncoding.EncodeToString(id[:])
}
