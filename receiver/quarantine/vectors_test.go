package quarantine

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
)

// G-2, M-6 and M-8 as the second writer understands them: the signed manifests of protocol/vectors, before the allowed_signers that each is given.
func TestTrustOfSection11(t *testing.T) {
	text, err := os.ReadFile("../../protocol/vectors/trust.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		About   string
		Vectors []struct {
			Name, Rule, What, Field, Expect, Reason string

			Input struct {
				Signers, Sender, Receiver, Accepted, Manifest, Signature string
				At                                                       int64
			}
			Values struct{}
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil || len(file.Vectors) == 0 {
		t.Fatalf("%d vectors: %v", len(file.Vectors), err)
	}
	digest := func(t *testing.T, text string) (d bundle.Digest) {
		t.Helper()
		if n, err := hex.Decode(d[:], []byte(text)); err != nil || n != len(d) {
			t.Fatal(n, err)
		}
		return d
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			signers, err := keys.ParseAllowedSigners([]byte(v.Input.Signers))
			if err != nil {
				t.Fatal(err)
			}
			signature, err := hex.DecodeString(v.Input.Signature)
			if err != nil {
				t.Fatal(err)
			}
			e := Expect{Signers: signers, Sender: bundle.Name(v.Input.Sender), Receiver: digest(t, v.Input.Receiver), Received: time.Unix(v.Input.At, 0)}
			if v.Input.Accepted != "" {
				e.Manifest = digest(t, v.Input.Accepted)
			}
			signed, err := readSigned(strings.NewReader(v.Input.Manifest), signature, nil, e)
			want := "accepted"
			if v.Expect == "refuse" {
				want = v.Reason + " " + v.Rule
			}
			if verdict(err) != want || (signed != nil) != (v.Expect == "accept") {
				t.Errorf("%v, should be %s (%s)", err, want, v.What)
			}
		})
	}
}
