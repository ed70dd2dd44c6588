package vectors_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

type signatureInput struct {
	Kind, Namespace, Message, Blob, Text string
	Bundle, Epoch, Tenant, Reason        string // of an abandon
}

func TestSignaturesOfSection11(t *testing.T) {
	each(t, "signatures", func(t *testing.T, v vector, in signatureInput) {
		switch in.Kind {
		case "armor":
			blob, err := bundle.Unarmor([]byte(in.Text))
			if judged(t, v, err) {
				want := values[struct{ Blob string }](t, v)
				same(t, "blob", blob, unhex(t, want.Blob))
				same(t, "armor", bundle.Armor(blob), []byte(in.Text))
			}
			return
		case "abandon":
			in.Namespace = bundle.NamespaceAbandon
			id, epoch := bundle.ID(unhex(t, in.Bundle)), bundle.Epoch(unhex(t, in.Epoch))
			same(t, "message", bundle.AbandonMessage(id, epoch, bundle.Name(in.Tenant), in.Reason), unhex(t, in.Message))
		case "blob":
		default:
			t.Fatalf("no kind: %q", in.Kind)
		}
		s, err := verified(unhex(t, in.Blob), in.Namespace, unhex(t, in.Message))
		if !judged(t, v, err) {
			return
		}
		want := values[struct {
			Key   string
			KeyID string `json:"key_id"`
		}](t, v)
		same(t, "key", s.PublicKey, unhex(t, want.Key))
		if id := packet.KeyID(s.PublicKey); hex.EncodeToString(id[:]) != want.KeyID || sha256.Sum256(unhex(t, want.Key)) != id {
			t.Errorf("key id %x, should be %s", id, want.KeyID)
		}
		same(t, "blob", s.Blob, unhex(t, in.Blob))
	})
}

// verified reads a blob and holds it against its message.
func verified(blob []byte, namespace string, message []byte) (*bundle.Signature, error) {
	s, err := bundle.ParseSignature(blob, namespace)
	if err != nil {
		return nil, err
	}
	return s, s.Verify(sha512.Sum512(message))
}
