package vectors_test

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha512"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

type derivedInput struct {
	Seed         string
	ReceiverKey  string `json:"receiver_key"`
	SenderKey    string `json:"sender_key"`
	Announcement string
}

// linkValues are the key and the tag of a link, and perhaps a packet under them.
type linkValues struct{ Key, Tag, Packet, Shard string }

// opened does what a receiver does with an announcement: it reads it, verifies its signature, and opens its encapsulation.
func opened(t *testing.T, in derivedInput) (*packet.Announcement, *hpke.Recipient, error) {
	t.Helper()
	private, err := hpke.MLKEM768X25519().NewPrivateKey(unhex(t, in.Seed))
	if err != nil {
		t.Fatal(err)
	}
	receiver, sender := private.PublicKey().Bytes(), unhex(t, in.SenderKey)
	same(t, "receiver's key", receiver, unhex(t, in.ReceiverKey))
	a, err := assemble([][]byte{unhex(t, in.Announcement)})
	if err != nil {
		t.Fatal(err)
	}
	if a.Receiver != packet.KeyID(receiver) || a.Sender != packet.KeyID(sender) {
		t.Error("the announcement is of other keys")
	}
	info := packet.Info(sender, receiver, a.Number, a.Epoch, a.Links)
	s, err := bundle.ParseSignature(a.Signature, bundle.NamespaceSession)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(sha512.Sum512(packet.SignedMessage(info, a.Encapsulation))); err != nil {
		t.Error(err)
	}
	same(t, "sender's key", s.PublicKey, sender)
	r, err := hpke.NewRecipient(a.Encapsulation, private, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return a, nil, bundle.Reject(bundle.ReasonSessionKEM, "S-9", "%v", err)
	}
	return a, r, nil
}

func TestSessionsAreDerivedAsTheSecondWriterDoes(t *testing.T) {
	each(t, "derived", func(t *testing.T, v vector, in derivedInput) {
		a, r, err := opened(t, in)
		if !judged(t, v, err) {
			return
		}
		want := values[struct{ Links []linkValues }](t, v).Links
		if len(want) != int(a.Links) {
			t.Fatalf("%d links, should be %d", a.Links, len(want))
		}
		for i, link := range want {
			key, tag := exported(t, r.Export, i)
			same(t, "packet key", key[:], unhex(t, link.Key))
			same(t, "tag", tag[:], unhex(t, link.Tag))
			if link.Packet == "" {
				continue
			}
			o, err := packet.NewOpener(key, tag)
			if err != nil {
				t.Fatal(err)
			}
			in, number, shard, err := open(o, unhex(t, link.Packet))
			if err != nil || number != uint64(i) || in != (packet.Inner{Block: uint32(i), Index: 1, K: 3, M: 1}) || !bytes.Equal(shard, unhex(t, link.Shard)) {
				t.Errorf("link %d: packet %d with %+v: %v", i, number, in, err)
			}
		}
	})
}

// exported derives the key and the tag of a link under the names that the packages give.
func exported(t *testing.T, export func(string, int) ([]byte, error), link int) (key [32]byte, tag packet.Tag) {
	t.Helper()
	k, err := export(packet.KeyContext(link), packet.KeyExport)
	if err != nil {
		t.Fatal(err)
	}
	s, err := export(packet.TagContext(link), packet.TagExport)
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(k), packet.Tag(s)
}
