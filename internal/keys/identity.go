package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ecluse/protocol/bundle"
)

// maxKeyFile bounds a key file: OpenSSH's hold a few hundred bytes.
const maxKeyFile = 64 << 10

// GenerateIdentity makes an Ed25519 key as ssh-keygen does: the private half at path, for its owner alone, the public half and the comment
// at path.pub. Neither name may be taken. Both are durable on return.
func GenerateIdentity(path, comment string) (ssh.PublicKey, error) {
	if err := checkComment(comment); err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	for _, name := range []string{path, path + ".pub"} {
		if _, err := os.Lstat(name); err == nil {
			return nil, fmt.Errorf("make key %s: %s is there already, and a key is never overwritten: %w", path, name, os.ErrExist)
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	// The private half goes first: the other follows from it (ssh-keygen -y).
	if err := create(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	if err := create(path+".pub", publicLine(key, comment), 0o644); err != nil {
		return nil, fmt.Errorf("make key %s: %w", path, err)
	}
	return key, nil
}

// publicLine gives a public key and a comment as OpenSSH writes them, with a line feed.
func publicLine(key ssh.PublicKey, comment string) []byte {
	line := bytes.TrimSuffix(ssh.MarshalAuthorizedKey(key), []byte("\n"))
	if comment != "" {
		line = append(append(line, ' '), comment...)
	}
	return append(line, '\n')
}

// checkComment refuses what would end a line, or hide in one.
func checkComment(comment string) error {
	if len(comment) > 1024 {
		return errors.New("a comment has at most 1024 bytes")
	}
	for _, r := range comment {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return fmt.Errorf("the comment %q is not printable text", comment)
		}
	}
	return nil
}

// Identity is the key that a sender signs with. Any number of goroutines may use it.
type Identity struct {
	key  ssh.PublicKey
	sign func(data []byte) (*ssh.Signature, error)
	here bool // the private half
}

// LoadIdentity reads an OpenSSH private key file, or a .pub file: then an agent at $SSH_AUTH_SOCK holds the private half, is asked at once
// whether it does, and again at each signature, so that it may be restarted meanwhile.
func LoadIdentity(path string) (*Identity, error) {
	i, err := loadIdentity(path, CheckKey, nil)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return i, nil
}

// LoadPerson is LoadIdentity for a person's key, of any kind; ask is asked for the passphrase of one that has one, and may be nil.
func LoadPerson(path string, ask func(path string) ([]byte, error)) (*Identity, error) {
	i, err := loadIdentity(path, checkPersonKey, ask)
	if err != nil {
		return nil, fmt.Errorf("load the key: %w", err)
	}
	return i, nil
}

func loadIdentity(path string, check func(ssh.PublicKey) error, ask func(path string) ([]byte, error)) (*Identity, error) {
	text, info, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		return publicIdentity(path, text, check)
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		if ask == nil {
			return nil, fmt.Errorf("%s is encrypted: add it to an ssh-agent and name %s.pub here", path, path)
		}
		phrase, err := ask(path)
		if err != nil {
			return nil, err
		}
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(text, phrase); err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("%s is not an OpenSSH private key that can sign by itself (a security key's signs through an ssh-agent: name its .pub here): %w", path, err)
	}
	if err := check(signer.PublicKey()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Identity{key: signer.PublicKey(), here: true, sign: func(data []byte) (*ssh.Signature, error) { return signWith(signer, data) }}, nil
}

// signWith signs; an RSA key is asked for SHA-512, which is not what it does by itself.
func signWith(signer ssh.Signer, data []byte) (*ssh.Signature, error) {
	if a, ok := signer.(ssh.AlgorithmSigner); ok && signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		return a.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	}
	return signer.Sign(rand.Reader, data)
}

func publicIdentity(path string, text []byte, check func(ssh.PublicKey) error) (*Identity, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is neither an OpenSSH private key nor a public one: %w", path, err)
	case len(options) > 0 || len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%s holds more than one public key", path)
	}
	if err := check(key); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := agentHolds(key); err != nil {
		return nil, fmt.Errorf("%s is a public key: %w", path, err)
	}
	return agentIdentity(key), nil
}

func agentIdentity(key ssh.PublicKey) *Identity {
	return &Identity{key: key, sign: func(data []byte) (*ssh.Signature, error) { return agentSign(key, data) }}
}

// AgentPerson gives the one key of an agent at $SSH_AUTH_SOCK that is among some.
func AgentPerson(among []ssh.PublicKey) (*Identity, error) {
	var mine []ssh.PublicKey
	err := withAgent(func(a agent.ExtendedAgent) error {
		held, err := a.List()
		for _, k := range held {
			for _, key := range among {
				if bytes.Equal(k.Blob, key.Marshal()) {
					mine = append(mine, key)
				}
			}
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(mine) == 0:
		return nil, errors.New("the ssh-agent holds no officer's key: ssh-add it")
	case len(mine) > 1:
		return nil, fmt.Errorf("the ssh-agent holds %d officers' keys: name the .pub file of one, with --key", len(mine))
	}
	return agentIdentity(mine[0]), nil
}

// Public gives the public half.
func (i *Identity) Public() ssh.PublicKey { return i.key }

// Quick says that it signs by itself, in no time. An agent may ask a token, or a person.
func (i *Identity) Quick() bool { return i.here }

// Sign makes a raw SSHSIG blob over a message.
func (i *Identity) Sign(namespace string, message []byte) (blob []byte, err error) {
	return i.signSum(namespace, sha512.Sum512(message))
}

// SignReader is Sign over all that r gives; it holds none of it.
func (i *Identity) SignReader(namespace string, r io.Reader) (blob []byte, err error) {
	h := sha512.New()
	if _, err := io.Copy(h, r); err != nil {
		return nil, fmt.Errorf("sign for %s: %w", namespace, err)
	}
	return i.signSum(namespace, [sha512.Size]byte(h.Sum(nil)))
}

// signSum verifies what it made: a token or an agent that signs wrongly is found here, and not behind the diode.
func (i *Identity) signSum(namespace string, sum [sha512.Size]byte) ([]byte, error) {
	data := bundle.SignedData(namespace, sum)
	signature, err := i.sign(data)
	if err != nil {
		return nil, fmt.Errorf("sign for %s with %s: %w", namespace, Fingerprint(i.key), err)
	}
	if err := i.key.Verify(data, signature); err != nil {
		return nil, fmt.Errorf("sign for %s with %s: the signature that was made does not verify: %w", namespace, Fingerprint(i.key), err)
	}
	return bundle.MarshalSignature(i.key, namespace, signature), nil
}
