package keys

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// People is a file of persons who sign: the format of allowed_signers, in which every line names one person. She may have several keys, on several lines, and no key is two persons'. Keys are
// of any kind that ssh-keygen signs with, a security key's too. It never changes.
type People struct {
	byKey map[[32]byte]*enrolled
	text  []byte
}

// NotEnrolled is a signer who is not in a file of people, or may not sign that, or not at that time.
type NotEnrolled struct{ Text string }

func (e *NotEnrolled) Error() string { return e.Text }

// LoadPeople reads a file of people.
func LoadPeople(path string) (*People, error) {
	text, _, err := readFile(path, MaxSigners)
	if err != nil {
		return nil, fmt.Errorf("load the people who may sign: %w", err)
	}
	p, err := ParsePeople(text)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return p, nil
}

// ParsePeople reads the text of such a file, and takes all of it or nothing. The error names every bad line.
func ParsePeople(text []byte) (*People, error) {
	lines, faults, err := parseLines(text, time.Local, peoplesKeys)
	if err != nil {
		return nil, err
	}
	for i := range lines {
		if l := &lines[i]; CheckPerson(l.principals) != nil {
			faults = append(faults, fmt.Errorf("line %d: %w: a person has one name", l.number, CheckPerson(l.principals)))
		}
	}
	byKey, more := index(lines, func(l *signerLine) string { return l.principals })
	if err := allFaults(append(faults, more...)); err != nil {
		return nil, err
	}
	return &People{byKey: byKey, text: text}, nil
}

const maxPerson = 64

// CheckPerson tells whether a text is a person's name: a principal without patterns, such as alice or alice@example.org.
func CheckPerson(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-"
	if name == "" || len(name) > maxPerson || strings.Trim(name, letters) != "" || name[0] == '-' {
		return fmt.Errorf("%s is no person's name: 1 to %d of letters, digits and ._@+-", printable(name), maxPerson)
	}
	return nil
}

// checkPersonKey tells whether a key may stand for a person.
func checkPersonKey(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		return CheckKey(key)
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		const least = 2048
		if c, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= least {
				return nil
			}
		}
		return fmt.Errorf("an RSA key below %d bits", least)
	}
	return fmt.Errorf("%s keys are not taken", printable(key.Type()))
}

// Person gives the person whose key this is, when she may sign in that namespace at that time; else *NotEnrolled.
func (p *People) Person(key ssh.PublicKey, namespace string, at time.Time) (name string, err error) {
	e := p.byKey[packet.KeyID(key.Marshal())]
	if e == nil {
		return "", &NotEnrolled{fmt.Sprintf("nobody here has the key %s", Fingerprint(key))}
	}
	if reason := e.judge(namespace, at); reason != "" {
		return "", &NotEnrolled{e.explain(reason, namespace, at)}
	}
	return e.name, nil
}

// Stands tells whether a key, given by its fingerprint, stands there under that name and may sign in that namespace at that time.
func (p *People) Stands(name, fingerprint, namespace string, at time.Time) bool {
	for _, e := range p.byKey {
		if e.name == name && Fingerprint(e.key) == fingerprint {
			return e.judge(namespace, at) == ""
		}
	}
	return false
}

// Names are those of all people, in order.
func (p *People) Names() (names []string) {
	for _, e := range p.byKey {
		names = append(names, e.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Fingerprints are those of a person's keys, in order.
func (p *People) Fingerprints(name string) (all []string) {
	for _, e := range p.byKey {
		if e.name == name {
			all = append(all, Fingerprint(e.key))
		}
	}
	slices.Sort(all)
	return all
}

// Keys are all that stand there.
func (p *People) Keys() (all []ssh.PublicKey) {
	for _, e := range p.byKey {
		all = append(all, e.key)
	}
	return all
}

// Text is the file as it was read.
func (p *People) Text() []byte { return p.text }

// VerifyPerson tells who made an armored signature of a message; the error is *NotEnrolled, or a rejection of the signature's form (G-1).
func (p *People) VerifyPerson(armored []byte, namespace string, sum [64]byte, at time.Time) (name string, key ssh.PublicKey, err error) {
	blob, err := bundle.Unarmor(armored)
	if err != nil {
		return "", nil, err
	}
	s, err := bundle.ParseSignature(blob, namespace)
	if err != nil {
		return "", nil, err
	}
	if err := s.Verify(sum); err != nil {
		return "", s.Key(), err
	}
	name, err = p.Person(s.Key(), namespace, at)
	return name, s.Key(), err
}

// AppendPerson enrols a person's key for a namespace in a file of people, which it makes where there is none. It is durable on return; what stands there already is left alone.
func AppendPerson(path, name, namespace string, key ssh.PublicKey, comment string) (changed bool, err error) {
	if err := CheckPerson(name); err != nil {
		return false, fmt.Errorf("enrol: %w", err)
	}
	if err := errors.Join(checkPersonKey(key), checkComment(comment)); err != nil {
		return false, fmt.Errorf("enrol %s: %w", name, err)
	}
	line := fmt.Appendf(nil, "%s namespaces=%q %s", name, namespace, publicLine(key, comment))
	changed, err = appendTo(path, line, func(text []byte) (there bool, err error) {
		p, err := ParsePeople(text)
		if err != nil {
			return false, err
		}
		e := p.byKey[packet.KeyID(key.Marshal())]
		return e != nil && e.name == name && slices.ContainsFunc(e.lines, func(l *signerLine) bool { return l.permits(namespace) }), nil
	})
	if err != nil {
		return false, fmt.Errorf("enrol %s in %s: %w", name, path, err)
	}
	return changed, nil
}

// ReadPublicKey reads a public key file, as ssh-keygen writes it.
func ReadPublicKey(path string) (key ssh.PublicKey, comment string, err error) {
	text, _, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, "", err
	}
	key, comment, options, rest, err := ssh.ParseAuthorizedKey(text)
	if err != nil || len(options) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, "", fmt.Errorf("%s is not one OpenSSH public key (ssh-keygen -y -f PRIVATE prints it)", path)
	}
	return key, comment, checkPersonKey(key)
}
