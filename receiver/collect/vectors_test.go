package collect

import (
	"bytes"
	"cmp"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// openingVector is one vector of protocol/vectors/openings.json.
type openingVector struct {
	Name, Rule, What, Field, Expect, Reason string

	Input struct {
		Seed         string
		SenderKey    string `json:"sender_key"`
		Now          int64
		Before       []string
		Announcement []string
		Namespaces   string
		ValidAfter   int64 `json:"valid_after"`
		ValidBefore  int64 `json:"valid_before"`
	}
	Values json.RawMessage
}

// vectorBytes reads hexadecimal digits in which {xx*n} stands for the bytes xx, n times.
func vectorBytes(t *testing.T, text string) (out []byte) {
	t.Helper()
	for text != "" {
		plain, rest, runs := strings.Cut(text, "{")
		b, err := hex.DecodeString(plain)
		if err != nil {
			t.Fatal(err)
		}
		out, text = append(out, b...), ""
		if runs {
			run, after, _ := strings.Cut(rest, "}")
			unit, times, _ := strings.Cut(run, "*")
			n, err := strconv.Atoi(times)
			if err != nil {
				t.Fatal(err)
			}
			out, text = append(out, bytes.Repeat(vectorBytes(t, unit), n)...), after
		}
	}
	return out
}

// validity gives the options of a line of allowed_signers.
func validity(after, before int64) (options string) {
	for _, o := range []struct {
		name string
		at   int64
	}{{"valid-after", after}, {"valid-before", before}} {
		if o.at != 0 {
			options += fmt.Sprintf(",%s=%q", o.name, time.Unix(o.at, 0).UTC().Format("20060102150405Z"))
		}
	}
	return options
}

// S-3 to S-9 as the second writer understands them: the announcements of protocol/vectors before the receiver's own verifier.
func TestOpeningsOfSection4(t *testing.T) {
	text, err := os.ReadFile("../../protocol/vectors/openings.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		About   string
		Vectors []openingVector
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil || len(file.Vectors) == 0 {
		t.Fatalf("%d vectors: %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			private, err := hpke.MLKEM768X25519().NewPrivateKey(vectorBytes(t, v.Input.Seed))
			if err != nil {
				t.Fatal(err)
			}
			key, err := ssh.ParsePublicKey(vectorBytes(t, v.Input.SenderKey))
			if err != nil {
				t.Fatal(err)
			}
			enrolled, err := keys.ParseAllowedSigners(fmt.Appendf(nil, "low namespaces=%q%s %s", cmp.Or(v.Input.Namespaces, "session@ecluse,bundle@ecluse"),
				validity(v.Input.ValidAfter, v.Input.ValidBefore), ssh.MarshalAuthorizedKey(key)))
			if err != nil {
				t.Fatal(err)
			}
			verifier := NewKeyVerifier(private, enrolled, newTestNumbers(t))
			come := func(datagrams []string) (err error) {
				var parts packet.Assembler
				for _, d := range datagrams {
					body, err := parts.Add(vectorBytes(t, d))
					if err != nil {
						return err
					}
					if body == nil {
						continue
					}
					a, err := packet.ParseAnnouncement(body)
					if err != nil {
						return err
					}
					if _, err := verifier.Recognise(a); err != nil {
						return err
					}
					_, err = verifier.Verify(time.Unix(v.Input.Now, 0), a, body)
					return err
				}
				t.Fatal("the parts give no announcement")
				return nil
			}
			for _, d := range v.Input.Before {
				if err := come([]string{d}); err != nil {
					t.Fatalf("what came before: %v", err)
				}
			}
			err = come(v.Input.Announcement)
			if reason, _ := bundle.ReasonOf(err); string(reason) != v.Reason || (err == nil) != (v.Expect == "accept") {
				t.Errorf("%s: %v, should be %s %s (%s)", v.Rule, err, v.Expect, v.Reason, v.What)
			}
		})
	}
}
