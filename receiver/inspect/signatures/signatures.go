// Package signatures holds an item against what people have signed in it.
//
//	update.tar                     update.tar.sig              SSHSIG, namespace file, as ssh-keygen -Y sign -n file makes it
//	                               update.tar.alice.sig        several people: a word of their own in the name of each
//	SHA256SUMS (of other files)    SHA256SUMS.sig, SHA256SUMS.bob.sig    one signature for all files that it lists, relative to its directory
//
// It promises that each file of the item, but for the signatures themselves, is one that as many different people have signed as the tenant asks for, of those that it names, with keys that were theirs when
// the bundle was received; or says which are not.
//
// It refuses a signature beside a file that does not hold, whoever else has signed: somebody has changed one of the two; and a SHA256SUMS that is signed and says other than the files do.
//
// What is no signature in that namespace, such as another tool's .sig, is content like any other. A file's list of signers is that of its own signatures and of the lists that name it.
package signatures

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Namespace is that of signatures of files: ssh-keygen's own word for them.
const Namespace = "file"

const (
	suffix   = ".sig"
	sumsName = "SHA256SUMS"

	signatureMost = 3 * bundle.MaxSignature // bytes of a file that may be one
	sumsMost      = 256 << 20               // of a list that is taken
	foundMost     = 100                     // findings that are told one by one
)

// Rule is what a tenant asks for: m of n.
type Rule struct {
	Need int      // different people for each file
	Of   []string // who counts; empty: all who are enrolled
}

// People are those who may sign.
type People interface {
	// Person gives the person whose key this is, when she may sign in that namespace at that time.
	Person(key ssh.PublicKey, namespace string, at time.Time) (name string, err error)
}

// Report is what an item's signatures are worth.
type Report struct {
	Files    int64 // that have to be signed
	Signers  []ledger.Signer
	Findings []ledger.Finding
	More     int // findings beyond those
}

// examination is one item under way. One goroutine owns it.
type examination struct {
	ctx    context.Context
	files  fs.FS
	rule   Rule
	people People
	at     time.Time

	all     map[string]bool              // every file
	by      map[string][]*signer         // of each, who has signed it, each once
	used    map[string]bool              // files that are signatures of others
	strange map[string]string            // of a file, why a signature of it does not count
	signers map[string]*signer           // by their keys in wire form: a million signatures are few people's
	short   map[string][sha256.Size]byte // of files that signed lists name
	report  Report
}

// signer is a key that has signed something.
type signer struct {
	who   string // "" where it does not count
	key   string // its fingerprint
	why   string // it does not count
	files int64
}

// Check holds an item against a rule. Keys are judged at a time: when the bundle was received. An error says that nothing is known of the item. Each file is read once for all of its signatures, and once
// for all lists.
func Check(ctx context.Context, files fs.FS, item string, rule Rule, people People, at time.Time) (*Report, error) {
	x := &examination{
		ctx: ctx, files: files, rule: rule, people: people, at: at, all: make(map[string]bool), by: make(map[string][]*signer), used: make(map[string]bool), strange: make(map[string]string),
		signers: make(map[string]*signer), short: make(map[string][sha256.Size]byte),
	}
	err := fs.WalkDir(files, item, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			x.all[name] = true
		}
		return cmp.Or(err, context.Cause(ctx))
	})
	if err != nil {
		return nil, err
	}
	names := sorted(x.all)
	of := make(map[string][]string)
	for _, name := range names {
		if signed, ok := x.signed(name); ok {
			of[signed] = append(of[signed], name)
		}
	}
	for _, name := range sorted(of) {
		if err := x.signatures(name, of[name]); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
	}
	for _, name := range names {
		if path.Base(name) == sumsName && len(x.by[name]) > 0 {
			if err := x.sums(name); err != nil {
				return nil, fmt.Errorf("%q: %w", name, err)
			}
		}
	}
	x.judge(names)
	return &x.report, nil
}

func sorted[T any](m map[string]T) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// found notes what does not hold.
func (x *examination) found(reason bundle.Reason, name, format string, args ...any) {
	if len(x.report.Findings) >= foundMost {
		x.report.More++
		return
	}
	x.report.Findings = append(x.report.Findings, ledger.Finding{Reason: reason, Path: name, Text: fmt.Sprintf(format, args...)})
}

// signed is the file that a name says it is a signature of, if that is there.
func (x *examination) signed(name string) (of string, ok bool) {
	of, ok = strings.CutSuffix(name, suffix)
	if !ok || x.all[of] {
		return of, ok
	}
	if who := path.Ext(of); who != "" {
		of = strings.TrimSuffix(of, who)
	}
	return of, x.all[of]
}

// signatures takes up files that may be signatures of another.
func (x *examination) signatures(of string, names []string) error {
	var sum *[sha512.Size]byte
	for _, name := range names {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		text, err := x.read(name, signatureMost)
		if err != nil {
			return err
		}
		blob, err := bundle.Unarmor(text)
		if err != nil {
			continue // it is content
		}
		s, err := bundle.ParseSignature(blob, Namespace)
		if err != nil { // content as well, but hardly meant to be
			x.strange[name] = fmt.Sprintf("%v; ssh-keygen -Y sign -n %s makes those that count", err, Namespace)
			continue
		}
		if sum == nil {
			_, have, err := x.hash(of, false)
			if err != nil {
				return err
			}
			sum = &have
		}
		x.used[name] = true
		if err := s.Verify(*sum); err != nil {
			x.found(bundle.ReasonSignatureContent, name, "it is no signature of %q: one of the two was changed", of)
			continue
		}
		if p := x.signer(s.Key()); p.who == "" {
			x.strange[of] = p.why
		} else {
			x.vouch(of, p)
		}
	}
	return nil
}

// signer is who has a key.
func (x *examination) signer(key ssh.PublicKey) *signer {
	wire := string(key.Marshal())
	if p := x.signers[wire]; p != nil {
		return p
	}
	p := &signer{key: ssh.FingerprintSHA256(key)}
	who, err := x.people.Person(key, Namespace, x.at)
	switch {
	case err != nil:
		p.why = err.Error()
	case len(x.rule.Of) > 0 && !slices.Contains(x.rule.Of, who):
		p.why = fmt.Sprintf("%s has signed it, and is not asked for", who)
	default:
		p.who = who
	}
	x.signers[wire] = p
	return p
}

func (x *examination) vouch(name string, p *signer) {
	if !slices.Contains(x.by[name], p) {
		x.by[name] = append(x.by[name], p)
	}
}

// count is how many different people have signed a file.
func (x *examination) count(name string) (n int) {
	for i, p := range x.by[name] {
		if !slices.ContainsFunc(x.by[name][:i], func(q *signer) bool { return q.who == p.who }) {
			n++
		}
	}
	return n
}

// sums takes up a signed list: whoever has signed it has signed what it lists.
func (x *examination) sums(name string) error {
	text, err := x.read(name, sumsMost)
	if err != nil {
		return err
	}
	if text == nil {
		x.found(bundle.ReasonSignatureContent, name, "a list of more than %d bytes", sumsMost)
		return nil
	}
	number := 0
	for line := range bytes.Lines(text) {
		if number++; x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		sum, of, err := parseSum(string(bytes.TrimSuffix(line, []byte("\n"))))
		if err != nil {
			x.found(bundle.ReasonSignatureContent, name, "line %d: %v", number, err)
			continue
		}
		of = path.Join(path.Dir(name), of)
		if !x.all[of] { // what is not here is nobody's loss: a list may be of more than was sent
			continue
		}
		have, known := x.short[of]
		if !known {
			if have, _, err = x.hash(of, true); err != nil {
				return err
			}
			x.short[of] = have
		}
		if have != sum {
			x.found(bundle.ReasonSignatureContent, of, "it is not what %q says", name)
			continue
		}
		for _, p := range x.by[name] {
			x.vouch(of, p)
		}
	}
	return nil
}

// parseSum reads a line as sha256sum writes it: digest, space, space or star, name; behind a backslash the name is escaped.
func parseSum(line string) (sum [sha256.Size]byte, name string, err error) {
	line, escaped := strings.CutPrefix(line, `\`)
	digest, name, ok := strings.Cut(line, " ")
	n, err := hex.Decode(sum[:], []byte(digest[:min(len(digest), 2*sha256.Size)]))
	if !ok || err != nil || n != sha256.Size || len(digest) != 2*sha256.Size || len(name) < 2 || name[0] != ' ' && name[0] != '*' {
		return sum, "", errors.New("not a line of sha256sum's")
	}
	name = name[1:]
	if escaped {
		name = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(name)
	}
	if name = strings.TrimPrefix(name, "./"); !fs.ValidPath(name) || name == "." {
		return sum, "", fmt.Errorf("%q leads out of the directory of the list", name)
	}
	return sum, name, nil
}

// judge says which files fewer have signed than are asked for, and who has signed how many, with which key.
func (x *examination) judge(names []string) {
	for _, name := range names {
		if x.used[name] {
			continue
		}
		x.report.Files++
		for _, p := range x.by[name] {
			p.files++
		}
		if n := x.count(name); n < x.rule.Need {
			why := ""
			if s := x.strange[name]; s != "" {
				why = ": " + s
			}
			x.found(bundle.ReasonSignatureMissing, name, "%d of %d people have signed it%s", n, x.rule.Need, why)
		}
	}
	for _, p := range x.signers {
		if p.files > 0 {
			x.report.Signers = append(x.report.Signers, ledger.Signer{Principal: p.who, Key: p.key, Files: p.files})
		}
	}
	slices.SortFunc(x.report.Signers, func(a, b ledger.Signer) int {
		return cmp.Or(cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Key, b.Key))
	})
}

// read gives a small file, or nil for one that is not.
func (x *examination) read(name string, most int64) ([]byte, error) {
	f, err := x.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || int64(len(text)) > most {
		return nil, err
	}
	return text, nil
}

// hash reads a file for one of the two sums.
func (x *examination) hash(name string, short bool) (s256 [sha256.Size]byte, s512 [sha512.Size]byte, err error) {
	f, err := x.files.Open(name)
	if err != nil {
		return s256, s512, err
	}
	defer f.Close()
	in := reader{x.ctx, f}
	if short {
		h := sha256.New()
		_, err = io.Copy(h, in)
		h.Sum(s256[:0])
		return s256, s512, err
	}
	h := sha512.New()
	_, err = io.Copy(h, in)
	h.Sum(s512[:0])
	return s256, s512, err
}

// reader ends with a context: a file may take minutes.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
