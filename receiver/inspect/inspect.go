package inspect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Item is what is looked at: one file, or one directory tree.
type Item struct {
	Dir   string // that holds it
	Name  string
	Files fs.FS // Dir, out of which no name leads
	Bytes int64
	Count int64 // of files

	Received time.Time // when the first of it came: keys are judged by then

	Ours bool // nobody but us has its file, which may have another name for a while: a delivery meanwhile copies it, as it does with whatever has two

	Scratch string // a directory for what inspectors work with
	Room    int64  // bytes that one may put there
}

// Version is what an inspector judges by.
type Version struct {
	Text   string
	Signed *time.Time // when its signatures were made; nil where it does not say
}

// Answer is what an inspector says. Without findings it is clean.
type Answer struct {
	Version  Version
	Findings []ledger.Finding
	More     int   // findings beyond those
	Files    int64 // that it looked at
	Signers  []ledger.Signer
}

// Inspector looks at items. An error says that nothing is known of the item.
type Inspector interface {
	// Ready says by what it judges now. It tries the inspector first, where that can be done.
	Ready(ctx context.Context) (Version, error)
	Look(ctx context.Context, item Item) (*Answer, error)
}

// Asked is an inspector that a tenant requires.
type Asked struct {
	Step
	Timeout   time.Duration // see TimeFor
	Inspector Inspector
	Works     bool // in a scratch directory
}

// What an inspector is given a second more for: bytes, as archives take longer than what they are made of, and files, each of which is opened, and asked about or held against its signatures.
const (
	perSecond      = 10 << 20
	filesPerSecond = 1000
)

// TimeFor is how long an item may be looked at. Who takes all of it holds up the others of its tenant.
func TimeFor(base time.Duration, bytes, files int64) time.Duration {
	return base + time.Duration(bytes/perSecond+files/filesPerSecond)*time.Second
}

// What evidence keeps: it stands in a record, which is written often, and an inspector says what it likes.
const (
	FindingsMost = 20
	textMost     = 400     // bytes of a path, a text or a version
	textsMost    = 8 << 10 // of all findings; a byte may take six in a record
)

// LateError says that an inspector has taken all of its time.
type LateError struct{ After time.Duration }

func (e *LateError) Error() string { return fmt.Sprintf("it took longer than %v", e.After) }

// Ask has the inspector look at an item, within its time, and makes evidence of what it says.
func (a *Asked) Ask(ctx context.Context, item Item, now func() time.Time) (*ledger.Inspection, error) {
	limit := TimeFor(a.Timeout, item.Bytes, item.Count)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &LateError{limit})
	defer cancel()
	at := now().UTC()
	began := time.Now()
	answer, err := a.Inspector.Look(ctx, item)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	return a.evidence(answer, at, time.Since(began)), nil
}

func (a *Asked) evidence(answer *Answer, at time.Time, took time.Duration) *ledger.Inspection {
	n := &ledger.Inspection{
		Inspector: a.Name, Rules: a.Rules, Version: policy.Cut(answer.Version.Text, textMost), Signed: answer.Version.Signed, Verdict: ledger.Clean,
		More: answer.More, Files: answer.Files, Signers: answer.Signers, At: at, Took: took.Seconds(),
	}
	bytes := 0
	for i, f := range answer.Findings {
		n.Verdict = ledger.Flagged
		f.Path, f.Text = policy.Cut(f.Path, textMost), policy.Cut(f.Text, textMost)
		if bytes += len(f.Path) + len(f.Text); i > 0 && bytes > textsMost || i >= FindingsMost {
			n.More += len(answer.Findings) - i
			break
		}
		n.Findings = append(n.Findings, f)
	}
	return n
}

// RulesOf names what a configuration says of an inspector: two that differ have different names.
func RulesOf(says any) string {
	text, err := json.Marshal(says)
	if err != nil {
		panic("inspect: internal error: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return "config " + hex.EncodeToString(sum[:8])
}

// finding is what a scanner of streams found.
func (f *Found) finding(path string) ledger.Finding {
	if f.Limit {
		return ledger.Finding{Reason: bundle.ReasonInspectorLimit, Path: path, Text: f.Text}
	}
	return ledger.Finding{Reason: bundle.ReasonMalware, Path: path, Text: f.Text}
}
