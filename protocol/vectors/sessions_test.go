package vectors_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

type sessionInput struct {
	Datagrams []string
	Order     []int // in which the parts were sent
	// or what is signed and derived from
	SenderKey   string `json:"sender_key"`
	ReceiverKey string `json:"receiver_key"`
	Number      uint64
	Epoch       string
	Links       uint8

	Encapsulation string
}

// sessionValues are what an announcement holds, or what is made of its fields.
type sessionValues struct {
	Number                                            uint64
	Epoch, Sender, Receiver, Encapsulation, Signature string
	Links                                             uint8
	Info, Message                                     string
	Keys, Tags                                        []string
}

// assemble puts datagrams together and reads what they say.
func assemble(datagrams [][]byte) (out *packet.Announcement, err error) {
	var parts packet.Assembler
	for _, d := range datagrams {
		if _, _, err := packet.Classify(d); err != nil {
			return nil, err
		}
		body, err := parts.Add(d)
		if err != nil {
			return nil, err
		}
		if body == nil {
			continue
		}
		if out, err = packet.ParseAnnouncement(bytes.Clone(body)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func TestSessionsOfSection4(t *testing.T) {
	each(t, "sessions", func(t *testing.T, v vector, in sessionInput) {
		if in.SenderKey != "" {
			derives(t, in, values[sessionValues](t, v))
			return
		}
		var datagrams [][]byte
		for _, d := range in.Datagrams {
			datagrams = append(datagrams, unhex(t, d))
		}
		a, err := assemble(datagrams)
		if !judged(t, v, err) {
			return
		}
		if a == nil {
			t.Fatal("the parts give no announcement")
		}
		want := values[sessionValues](t, v)
		if a.Number != want.Number || a.Links != want.Links || hex.EncodeToString(a.Epoch[:]) != want.Epoch || hex.EncodeToString(a.Sender[:]) != want.Sender ||
			hex.EncodeToString(a.Receiver[:]) != want.Receiver {
			t.Errorf("holds %+v, should be %+v", a, want)
		}
		same(t, "encapsulation", a.Encapsulation, unhex(t, want.Encapsulation))
		same(t, "signature", a.Signature, unhex(t, want.Signature))
		again := a.AppendPackets()
		if most := slices.Max(in.Order) + 1; len(again) != most {
			t.Fatalf("written in %d parts, should be %d", len(again), most)
		}
		for i, part := range in.Order {
			same(t, "part", again[part], datagrams[i])
		}
	})
}

// derives holds what is made of a session's fields against the vector: ids, info, the signed message, and the names of what is exported.
func derives(t *testing.T, in sessionInput, want sessionValues) {
	t.Helper()
	sender, receiver, encapsulation := unhex(t, in.SenderKey), unhex(t, in.ReceiverKey), unhex(t, in.Encapsulation)
	info := packet.Info(sender, receiver, in.Number, bundle.Epoch(unhex(t, in.Epoch)), in.Links)
	same(t, "info", info, unhex(t, want.Info))
	message := packet.SignedMessage(info, encapsulation)
	same(t, "message", message, unhex(t, want.Message))
	for what, pair := range map[string][2]any{"sender": {packet.KeyID(sender), want.Sender}, "receiver": {packet.KeyID(receiver), want.Receiver}} {
		if id := pair[0].([32]byte); hex.EncodeToString(id[:]) != pair[1] {
			t.Errorf("the %s's key id is %x, should be %s", what, id, pair[1])
		}
	}
	if len(want.Keys) != int(in.Links) || len(want.Tags) != int(in.Links) {
		t.Fatalf("%d keys and %d tags for %d links", len(want.Keys), len(want.Tags), in.Links)
	}
	for i := range want.Keys {
		if packet.KeyContext(i) != want.Keys[i] || packet.TagContext(i) != want.Tags[i] {
			t.Errorf("link %d exports %q and %q", i, packet.KeyContext(i), packet.TagContext(i))
		}
	}
	s, err := bundle.ParseSignature(unhex(t, want.Signature), bundle.NamespaceSession)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "key", s.PublicKey, sender)
	if err := s.Verify(sha512.Sum512(message)); err != nil {
		t.Error(err)
	}
}
