package keys

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
)

// signerLine is one line of allowed_signers (ssh-keygen(1), ALLOWED SIGNERS):
//
//	principal[,principal...] [option[,option...]] key-type base64 [comment]
type signerLine struct {
	number     int // from 1
	principals string
	name       bundle.Name // where the principals are one name, and no pattern; else empty
	key        ssh.PublicKey
	id         [32]byte

	namespaces string // patterns
	limited    bool   // to those namespaces
	after      int64  // Unix seconds; 0 for no limit
	before     int64
}

// permits tells whether the line lets its key sign in a namespace.
func (l *signerLine) permits(namespace string) bool {
	return !l.limited || matchList(namespace, l.namespaces)
}

// parseLine reads one line without its end. ok is false for one that is blank or a comment.
func parseLine(text string, local *time.Location, taken takes) (l signerLine, ok bool, err error) {
	text = strings.TrimLeft(strings.TrimSuffix(text, "\r"), " \t")
	if text == "" || text[0] == '#' {
		return l, false, nil
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == '\ufeff' }); i >= 0 {
		return l, false, fmt.Errorf("it holds a control character at column %d", i+1)
	}
	text, err = l.principalsOff(text)
	if err != nil {
		return l, false, err
	}
	word := firstWord(text)
	if word != "" && !isKeyType(word) {
		text, err = l.optionsOff(text, local)
		if err != nil {
			return l, false, err
		}
		word = firstWord(text)
	}
	if word == "" {
		return l, false, errors.New("a key is missing")
	}
	encoded := firstWord(skipSpace(text[len(word):]))
	l.key, err = parseKey(word, encoded, taken)
	if err != nil {
		return l, false, err
	}
	return l, true, nil
}

// principalsOff takes the principals off a line; they may stand in quotes.
func (l *signerLine) principalsOff(text string) (rest string, err error) {
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		end := strings.IndexByte(quoted, '"')
		if end < 0 {
			return "", errors.New("a quote is missing")
		}
		l.principals, rest = quoted[:end], quoted[end+1:]
		if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
			return "", errors.New("space is missing behind the principals")
		}
	} else {
		l.principals = firstWord(text)
		rest = text[len(l.principals):]
	}
	if l.principals == "" || strings.IndexByte(l.principals, '"') >= 0 {
		return "", fmt.Errorf("%s are no principals", printable(l.principals))
	}
	if name, err := bundle.ParseName(l.principals); err == nil {
		l.name = name
	}
	return skipSpace(rest), nil
}

// optionsOff takes the options off a line. Their names are in any case, and the values in quotes, in which \" stands for a quote.
func (l *signerLine) optionsOff(text string, local *time.Location) (rest string, err error) {
	for {
		end := strings.IndexAny(text, "=, \t")
		if end < 0 {
			end = len(text)
		}
		option := text[:end]
		if strings.EqualFold(option, "cert-authority") {
			return "", errors.New("cert-authority: certificates are not taken, enrol the sender's own key")
		}
		if end == len(text) || text[end] != '=' {
			return "", fmt.Errorf("%s is neither an option nor a kind of key", printable(option))
		}
		value, rest, err := dequote(text[end+1:])
		if err != nil {
			return "", fmt.Errorf("%s: %w", printable(option), err)
		}
		if err := l.setOption(strings.ToLower(option), value, local); err != nil {
			return "", err
		}
		if rest == "" || rest[0] == ' ' || rest[0] == '\t' {
			if l.after != 0 && l.before != 0 && l.before <= l.after {
				return "", errors.New("valid-before is not after valid-after")
			}
			return skipSpace(rest), nil
		}
		if rest[0] != ',' {
			return "", fmt.Errorf("a comma or space is missing behind %s", printable(option))
		}
		text = rest[1:]
	}
}

func (l *signerLine) setOption(option, value string, local *time.Location) (err error) {
	twice := false
	switch option {
	case "namespaces":
		twice = l.limited
		l.namespaces, l.limited = value, true
	case "valid-after":
		twice = l.after != 0
		l.after, err = parseInstant(value, local)
	case "valid-before":
		twice = l.before != 0
		l.before, err = parseInstant(value, local)
	default:
		return fmt.Errorf("there is no option %s", printable(option))
	}
	if twice {
		return fmt.Errorf("%s stands there twice", option)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	return nil
}

func dequote(text string) (value, rest string, err error) {
	if text == "" || text[0] != '"' {
		return "", "", errors.New("its value does not begin with a quote")
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], nil
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", errors.New("its value does not end in a quote")
}

// isKeyType tells a kind of key that OpenSSH has, taken here or not, from an option.
func isKeyType(word string) bool {
	for _, prefix := range []string{"ssh-", "sk-", "ecdsa-", "rsa-"} {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}

// takes says which keys are taken: of which kinds, and what each must be.
type takes struct {
	kinds []string
	check func(ssh.PublicKey) error
}

var (
	sendersKeys = takes{[]string{ssh.KeyAlgoED25519}, CheckKey}
	peoplesKeys = takes{[]string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
	}, checkPersonKey}
)

// parseKey reads a public key as OpenSSH writes it, and refuses one that is not taken.
func parseKey(algorithm, encoded string, taken takes) (ssh.PublicKey, error) {
	if !slices.Contains(taken.kinds, algorithm) {
		return nil, fmt.Errorf("%s keys are not taken, only %s", printable(algorithm), strings.Join(taken.kinds, ", "))
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("the key is not base64: %w", err)
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, fmt.Errorf("the key does not parse: %w", err)
	}
	if !bytes.Equal(key.Marshal(), wire) {
		return nil, errors.New("the key is not in its one form")
	}
	if key.Type() != algorithm {
		return nil, fmt.Errorf("it is called %s, and is a key of %s", printable(algorithm), printable(key.Type()))
	}
	return key, taken.check(key)
}

func firstWord(text string) string {
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i]
	}
	return text
}

func skipSpace(text string) string { return strings.TrimLeft(text, " \t") }

// printable quotes what stood in a file, and cuts it: errors go to a person's terminal.
func printable(s string) string {
	if len(s) > 80 {
		return strconv.Quote(s[:80]) + "..."
	}
	return strconv.Quote(s)
}
