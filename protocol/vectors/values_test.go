package vectors_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"ecluse/protocol/bundle"

	"github.com/cespare/xxhash/v2"
)

type valueInput struct {
	Kind, Text string
	Of         string // hexadecimal content that a digest or a mark is of
}

// readValue reads a text of one kind, and gives what it is in bytes and in text again.
func readValue(t *testing.T, kind, text string) (raw []byte, again string, err error) {
	switch kind {
	case "id":
		v, err := bundle.ParseID(text)
		return v[:], v.String(), err
	case "epoch":
		v, err := bundle.ParseEpoch(text)
		return v[:], v.String(), err
	case "name":
		v, err := bundle.ParseName(text)
		return nil, v.String(), err
	case "digest":
		v, err := bundle.ParseDigest(text)
		return v[:], v.String(), err
	case "mark":
		v, err := bundle.ParseMark(text)
		raw, _ := hex.DecodeString(v.String())
		return raw, v.String(), err
	}
	t.Fatalf("no kind of value: %q", kind)
	return nil, "", nil
}

func TestValuesOfSection2(t *testing.T) {
	each(t, "values", func(t *testing.T, v vector, in valueInput) {
		raw, again, err := readValue(t, in.Kind, in.Text)
		if !judged(t, v, err) {
			return
		}
		want := values[struct{ Hex, Text string }](t, v)
		if again != in.Text || want.Text != "" && again != want.Text {
			t.Errorf("written as %q", again)
		}
		same(t, "value", raw, unhex(t, want.Hex))
		content := unhex(t, in.Of)
		switch sum := sha256.Sum256(content); {
		case in.Kind == "digest" && bundle.Digest(sum).String() != in.Text:
			t.Errorf("the content has the digest %s", bundle.Digest(sum))
		case in.Kind == "mark" && bundle.Mark(xxhash.Sum64(content)).String() != in.Text:
			t.Errorf("the content has the mark %s", bundle.Mark(xxhash.Sum64(content)))
		}
	})
}
