package keys

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// The limits of allowed_signers: far more senders than a receiver has, and little to read at each start.
const (
	MaxSigners     = 1 << 20 // bytes
	MaxSignerLines = 10_000
)

// maxFaults is the number of bad lines that are told one by one.
const maxFaults = 50

// AllowedSigners is a file of trust. A key belongs to the one sender whose name is the only principal of one of its lines; what it may sign
// and when is then said by every line of the key whose principals match that name, as ssh-keygen -Y verify -I NAME has it. It never changes.
type AllowedSigners struct {
	lines  []signerLine
	byKey  map[[32]byte]*enrolled
	listed map[bundle.Name]bool // nil for all
}

// enrolled is a key that has a name.
type enrolled struct {
	name  string // of a sender (bundle.Name), or of a person
	key   ssh.PublicKey
	lines []*signerLine // that permit it something under that name
}

// LoadAllowedSigners reads a file of trust.
func LoadAllowedSigners(path string) (*AllowedSigners, error) {
	text, _, err := readFile(path, MaxSigners)
	if err != nil {
		return nil, fmt.Errorf("load allowed signers: %w", err)
	}
	a, err := ParseAllowedSigners(text)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return a, nil
}

// ParseAllowedSigners reads the text of allowed_signers, and takes all of it or nothing. The error names every bad line.
func ParseAllowedSigners(text []byte) (*AllowedSigners, error) {
	return parseAllowedSigners(text, time.Local)
}

func parseAllowedSigners(text []byte, local *time.Location) (*AllowedSigners, error) {
	lines, faults, err := parseLines(text, local, sendersKeys)
	if err != nil {
		return nil, err
	}
	a := &AllowedSigners{lines: lines}
	var more []error
	a.byKey, more = index(lines, func(l *signerLine) string { return string(l.name) })
	return a, allFaults(append(faults, more...))
}

// parseLines reads the lines of a file of trust. err is a text that is no such file at all.
func parseLines(text []byte, local *time.Location, taken takes) (lines []signerLine, faults []error, err error) {
	if len(text) > MaxSigners {
		return nil, nil, fmt.Errorf("more than %d bytes", MaxSigners)
	}
	if bytes.Count(text, []byte("\n")) > MaxSignerLines {
		return nil, nil, fmt.Errorf("more than %d lines", MaxSignerLines)
	}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		l, ok, err := parseLine(string(bytes.TrimSuffix(line, []byte("\n"))), local, taken)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", number, err))
		}
		if err == nil && ok {
			l.number, l.id = number, packet.KeyID(l.key.Marshal())
			lines = append(lines, l)
		}
	}
	return lines, faults, nil
}

// allFaults makes one error of all bad lines.
func allFaults(faults []error) error {
	if len(faults) > maxFaults {
		faults = append(faults[:maxFaults:maxFaults], fmt.Errorf("and %d more", len(faults)-maxFaults))
	}
	return errors.Join(faults...)
}

// index gives each key its name, and then its lines; a line without one gives none. A key with two names would let one speak as another.
func index(lines []signerLine, nameOf func(*signerLine) string) (byKey map[[32]byte]*enrolled, faults []error) {
	byKey = make(map[[32]byte]*enrolled)
	first := make(map[[32]byte]int)
	for i := range lines {
		l := &lines[i]
		name := nameOf(l)
		if name == "" {
			continue
		}
		e := byKey[l.id]
		switch {
		case e == nil:
			byKey[l.id] = &enrolled{name: name, key: l.key}
			first[l.id] = l.number
		case e.name != name:
			faults = append(faults, fmt.Errorf("line %d: the key %s is that of %q in line %d, and has one name", l.number, Fingerprint(l.key), e.name, first[l.id]))
		}
	}
	for i := range lines {
		l := &lines[i]
		if e := byKey[l.id]; e != nil && matchList(e.name, l.principals) {
			e.lines = append(e.lines, l)
		}
	}
	return byKey, faults
}

// Restrict gives the same file in which only senders of these names count: those that the configuration lists.
func (a *AllowedSigners) Restrict(names []bundle.Name) *AllowedSigners {
	b := &AllowedSigners{lines: a.lines, byKey: a.byKey, listed: make(map[bundle.Name]bool)}
	for _, name := range names {
		b.listed[name] = a.listed == nil || a.listed[name]
	}
	return b
}

// lookup gives a key that has a name that counts, or nil.
func (a *AllowedSigners) lookup(id [32]byte) *enrolled {
	e := a.byKey[id]
	if e == nil || (a.listed != nil && !a.listed[bundle.Name(e.name)]) {
		return nil
	}
	return e
}

// Sender gives the name and the key of a sender by its key id (S-3).
func (a *AllowedSigners) Sender(keyID [32]byte) (bundle.Name, ssh.PublicKey, bool) {
	e := a.lookup(keyID)
	if e == nil {
		return "", nil, false
	}
	return bundle.Name(e.name), e.key, true
}

// Principal gives the sender whose key this is, when the key may sign in that namespace at that time. The error is one of the rejections
// of G-2.
func (a *AllowedSigners) Principal(key ssh.PublicKey, namespace string, at time.Time) (bundle.Name, error) {
	e := a.lookup(packet.KeyID(key.Marshal()))
	if e == nil {
		return "", bundle.Reject(bundle.ReasonSignerUnknown, "G-2", "no sender here has the key %s", Fingerprint(key))
	}
	if reason := e.judge(namespace, at); reason != "" {
		return "", bundle.Reject(reason, "G-2", "%s", e.explain(reason, namespace, at))
	}
	return bundle.Name(e.name), nil
}

// MayOpen tells whether a key may open sessions at a time. The error is one of the rejections of S-6, or of S-3 where the key is nobody's.
func (a *AllowedSigners) MayOpen(keyID [32]byte, at time.Time) error {
	e := a.lookup(keyID)
	if e == nil {
		return bundle.Reject(bundle.ReasonSessionSenderUnknown, "S-3", "the sender's key is not enrolled")
	}
	reason := e.judge(bundle.NamespaceSession, at)
	if reason == "" {
		return nil
	}
	session := map[bundle.Reason]bundle.Reason{
		bundle.ReasonSignerNamespace:   bundle.ReasonSessionKeyNamespace,
		bundle.ReasonSignerNotYetValid: bundle.ReasonSessionKeyNotYetValid,
		bundle.ReasonSignerExpired:     bundle.ReasonSessionKeyExpired,
	}[reason]
	return bundle.Reject(session, "S-6", "%s", e.explain(reason, bundle.NamespaceSession, at))
}

// judge finds a line that permits a signature; both ends of its time belong to it. Where there is none, a key that one line has expired and
// another will let in is not yet valid. Empty is yes.
func (e *enrolled) judge(namespace string, at time.Time) bundle.Reason {
	reason := bundle.ReasonSignerNamespace
	for _, l := range e.lines {
		now := at.Unix()
		switch {
		case !l.permits(namespace):
		case l.after != 0 && now < l.after:
			reason = bundle.ReasonSignerNotYetValid
		case l.before != 0 && now > l.before:
			if reason == bundle.ReasonSignerNamespace {
				reason = bundle.ReasonSignerExpired
			}
		default:
			return ""
		}
	}
	return reason
}

func (e *enrolled) explain(reason bundle.Reason, namespace string, at time.Time) string {
	who := fmt.Sprintf("the key %s of %s", Fingerprint(e.key), e.name)
	if reason == bundle.ReasonSignerNamespace {
		return fmt.Sprintf("%s may not sign for %s", who, namespace)
	}
	word, limits := "valid only after", []int64{}
	for _, l := range e.lines {
		switch {
		case !l.permits(namespace):
		case reason == bundle.ReasonSignerNotYetValid && at.Unix() < l.after:
			limits = append(limits, l.after)
		case reason == bundle.ReasonSignerExpired && l.before != 0:
			limits = append(limits, l.before)
		}
	}
	limit := slices.Min(limits)
	if reason == bundle.ReasonSignerExpired {
		word, limit = "valid only before", slices.Max(limits)
	}
	return fmt.Sprintf("%s is %s %s, and this is %s", who, word, rfc3339(limit), rfc3339(at.Unix()))
}

func rfc3339(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
