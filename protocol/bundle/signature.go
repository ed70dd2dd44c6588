package bundle

import (
	"bytes"
	"encoding/base64"

	"golang.org/x/crypto/ssh"
)

// The namespaces of signatures. Each signs one kind of thing, and a signature made for one is refused as every other (G-3).
const (
	NamespaceBundle  = "bundle@ecluse"  // over manifest.json
	NamespaceSession = "session@ecluse" // over an announcement (S-5)
	NamespaceAbandon = "abandon@ecluse" // over AbandonMessage
	NamespaceRelease = "release@ecluse" // over a person's decision
)

// SignatureHash is the only hash of a message that is signed.
const SignatureHash = "sha512"

// signaturePreamble keeps what is signed here from being anything else that an SSH key signs.
const signaturePreamble = "SSHSIG"

// envelope is the blob of OpenSSH's PROTOCOL.sshsig.
//
//	 0        6         10
//	+--------+---------+------------+-----------+----------+------+-----------+
//	| SSHSIG | version | public key | namespace | reserved | hash | signature |   each of the last five: u32 length and bytes
//	+--------+---------+------------+-----------+----------+------+-----------+
type envelope struct {
	Preamble  [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// Signature is a parsed SSHSIG blob that nobody has verified yet.
type Signature struct {
	PublicKey []byte // SSH wire form
	Namespace string
	Hash      string // SignatureHash
	Blob      []byte // the whole

	key       ssh.PublicKey
	signature ssh.Signature
}

// ParseSignature reads a raw SSHSIG blob that was made for a namespace. One that does not parse, has bytes left over, names another
// namespace or hash, or a kind of key that is not ours, is signature-format (G-1). Blob and PublicKey are copies.
func ParseSignature(blob []byte, namespace string) (*Signature, error) {
	if len(blob) < MinSignature || len(blob) > MaxSignature {
		return nil, rejectFormat("%d bytes, not %d to %d", len(blob), MinSignature, MaxSignature)
	}
	blob = bytes.Clone(blob)
	var e envelope
	if err := ssh.Unmarshal(blob, &e); err != nil {
		return nil, rejectFormat("not an SSHSIG blob: %v", err)
	}
	switch {
	case string(e.Preamble[:]) != signaturePreamble || e.Version != 1 || e.Reserved != "":
		return nil, rejectFormat("not an SSHSIG blob of version 1")
	case e.Namespace != namespace:
		return nil, rejectFormat("made for %q, not for %q", excerpt(e.Namespace), namespace)
	case e.Hash != SignatureHash:
		return nil, rejectFormat("the hash is %q, not %s", excerpt(e.Hash), SignatureHash)
	}
	key, err := ssh.ParsePublicKey(e.PublicKey)
	if err != nil || !bytes.Equal(key.Marshal(), e.PublicKey) {
		return nil, rejectFormat("not a public key in its one form")
	}
	s := &Signature{PublicKey: e.PublicKey, Namespace: e.Namespace, Hash: e.Hash, Blob: blob, key: key}
	if err := ssh.Unmarshal(e.Signature, &s.signature); err != nil {
		return nil, rejectFormat("not an SSH signature: %v", err)
	}
	if !signatureAllowed(key.Type(), &s.signature) {
		return nil, rejectFormat("a %q signature by a %q key is not taken", excerpt(s.signature.Format), key.Type())
	}
	return s, nil
}

func rejectFormat(format string, args ...any) *Rejection {
	return Reject(ReasonSignatureFormat, "G-1", format, args...)
}

// signatureAllowed tells the algorithms that are taken, and that nothing follows the signature but what a security key adds (flags u8, counter
// u32). SHA-1 and DSA are not among them, nor certificates: who may sign stands in allowed_signers.
func signatureAllowed(keyType string, s *ssh.Signature) bool {
	switch keyType {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return s.Format == keyType && len(s.Rest) == 0
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return s.Format == keyType && len(s.Rest) == 1+4
	case ssh.KeyAlgoRSA:
		return (s.Format == ssh.KeyAlgoRSASHA256 || s.Format == ssh.KeyAlgoRSASHA512) && len(s.Rest) == 0
	}
	return false
}

// MarshalSignature makes the raw SSHSIG blob from what a key or an agent gave for SignedData.
func MarshalSignature(key ssh.PublicKey, namespace string, signature *ssh.Signature) []byte {
	return ssh.Marshal(envelope{
		Preamble:  [6]byte([]byte(signaturePreamble)),
		Version:   1,
		PublicKey: key.Marshal(),
		Namespace: namespace,
		Hash:      SignatureHash,
		Signature: ssh.Marshal(signature),
	})
}

// SignedData gives the bytes that a key signs for a message with this SHA-512. An RSA key must be asked for rsa-sha2-512 or rsa-sha2-256.
func SignedData(namespace string, messageSHA512 [64]byte) []byte {
	return ssh.Marshal(struct {
		Preamble                  [6]byte
		Namespace, Reserved, Hash string
		Message                   []byte
	}{[6]byte([]byte(signaturePreamble)), namespace, "", SignatureHash, messageSHA512[:]})
}

// Key gives the public key that made the signature, trusted or not.
func (s *Signature) Key() ssh.PublicKey { return s.key }

// SignedData gives the bytes that the signature covers if it is one of a message with this SHA-512.
func (s *Signature) SignedData(messageSHA512 [64]byte) []byte {
	return SignedData(s.Namespace, messageSHA512)
}

// Verify tells whether the key in the signature made it over a message with this SHA-512; else signature-invalid (G-1). Whether that key
// is to be trusted is for allowed_signers to say.
func (s *Signature) Verify(messageSHA512 [64]byte) error {
	if err := s.key.Verify(s.SignedData(messageSHA512), &s.signature); err != nil {
		return Reject(ReasonSignatureInvalid, "G-1", "the signature by %s does not verify: %v", ssh.FingerprintSHA256(s.key), err)
	}
	return nil
}

const (
	armorBegin   = "-----BEGIN SSH SIGNATURE-----\n"
	armorEnd     = "-----END SSH SIGNATURE-----\n"
	armorColumns = 70
)

// Armor gives the text that ssh-keygen writes for a blob.
func Armor(blob []byte) []byte {
	text := base64.StdEncoding.AppendEncode(nil, blob)
	out := []byte(armorBegin)
	for len(text) > 0 {
		n := min(len(text), armorColumns)
		out = append(append(out, text[:n]...), '\n')
		text = text[n:]
	}
	return append(out, armorEnd...)
}

// Unarmor takes exactly what Armor gives, of a blob of up to MaxSignature bytes, and refuses every other text: signature-format (G-1).
func Unarmor(text []byte) ([]byte, error) {
	const longest = len(armorBegin) + len(armorEnd) + (MaxSignature+2)/3*4*(armorColumns+1)/armorColumns + 1
	if len(text) > longest {
		return nil, rejectFormat("the armor is longer than %d bytes", longest)
	}
	body, begins := bytes.CutPrefix(text, []byte(armorBegin))
	body, ends := bytes.CutSuffix(body, []byte(armorEnd))
	if !begins || !ends {
		return nil, rejectFormat("not an armored SSH signature")
	}
	blob, err := base64.StdEncoding.AppendDecode(nil, bytes.ReplaceAll(body, []byte("\n"), nil))
	if err != nil || !bytes.Equal(Armor(blob), text) {
		return nil, rejectFormat("not an armored SSH signature in its one form")
	}
	return blob, nil
}
