package deliver

import (
	"errors"
	"fmt"
	"io/fs"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Clash says what becomes of an item whose name is taken at the destination.
type Clash uint8

// The ways. KeepBoth gives it the name NAME~SEQUENCE.
const (
	KeepBoth Clash = iota
	Replace
	Refuse
)

var clashNames = [...]string{KeepBoth: "keep-both", Replace: "replace", Refuse: "refuse"}

// ParseClash takes the word of the configuration.
func ParseClash(s string) (Clash, error) {
	for c, name := range clashNames {
		if s == name {
			return Clash(c), nil
		}
	}
	return KeepBoth, fmt.Errorf("%q is no way to treat a clash: keep-both, replace or refuse", s)
}

// String returns the word of the configuration.
func (c Clash) String() string {
	if int(c) < len(clashNames) {
		return clashNames[c]
	}
	return fmt.Sprintf("clash %d", uint8(c))
}

// Default modes: a destination's group may read, others may not.
const (
	DefaultFileMode fs.FileMode = 0o640
	DefaultDirMode  fs.FileMode = 0o750
)

// Options describe one destination.
type Options struct {
	Directory string // not a symbolic link itself
	Clash     Clash
	FileMode  fs.FileMode // group's and others' bits of files
	DirMode   fs.FileMode // group's and others' bits of directories
	Keep      bool        // the content must stay in quarantine too: it is copied, never moved

	// May says right before each rename why nothing may be delivered any more; nil: nobody does. What was announced in an earlier attempt is not announced again, and to hash it once more takes minutes.
	May func() error

	hook func(step string) // tests stop or kill here, between any two steps
}

func (o Options) withHook() Options {
	if o.hook == nil {
		o.hook = func(string) {}
	}
	if o.May == nil {
		o.May = func() error { return nil }
	}
	return o
}

// Job is one bundle on its way to one destination: approved, or about to be. The manifest was verified by the caller (quarantine.ReadSigned or quarantine.Check).
type Job struct {
	ID       bundle.ID
	Name     string // the item's name: the manifest's
	Sequence uint64
	Table    *bundle.Table    // the manifest's
	Dir      string           // holds files/NAME: in quarantine, or staged for Prepare
	Verified bool             // all content was held against Table by this process just now: what is moved is not read again
	Prepared bool             // by Prepare, in this process, and Previous is the intent: all of that became durable together
	Previous *ledger.Delivery // what is on record of this destination since the last attempt ended: its intent, if it has a name, or nil
}

// Intent is what is about to be renamed to which name of the destination. One without a name takes an earlier one back.
type Intent struct {
	ID    bundle.ID
	Final string
	Inode uint64
	Moved bool // it is the item in quarantine; else a copy at the destination
}

// Note makes intents durable, in the bundles' ledger.Delivery records, before it returns. It returns nil, or one error or nil for each of them; it refuses a bundle that is
// no longer approved, by ErrOver. An error that does not wrap ErrNotNoted leaves open what is on record: then nothing is removed that the intent may name.
type Note func([]Intent) []error

// ErrNotNoted says that an intent certainly is not on record.
var ErrNotNoted = errors.New("the intent is not on record")

// ErrOver says that a bundle is no longer approved: no attempt follows, and what its intents name means nothing any more.
var ErrOver = errors.New("it is no longer approved")

// Outcome is a finished delivery.
type Outcome struct {
	Final   string // the name at the destination
	Copied  bool   // what was delivered is still in quarantine as well
	Resumed bool   // an earlier attempt had delivered it
	Taken   bool   // Resumed, and it no longer stands under that name: somebody has taken it
	Left    string // not empty: what was replaced could not be removed, and why
}

// Result is what became of one Job. Err tells with bundle.ReasonOf whether it is content-mismatch, clash or destination; without a reason the fault is on our side; where it
// wraps ledger.ErrFatal the process must end.
type Result struct {
	Outcome
	Err error
}

// Failure is a delivery that did not happen, with its reason. It unwraps to a *bundle.Rejection and to its cause.
type Failure struct {
	Reason bundle.Reason
	Text   string
	Cause  error // or nil
}

func (f *Failure) Error() string {
	if f.Cause == nil {
		return fmt.Sprintf("%s: %s", f.Reason, f.Text)
	}
	return fmt.Sprintf("%s: %s: %v", f.Reason, f.Text, f.Cause)
}

// Unwrap gives bundle.ReasonOf, errors.Is and errors.As what they look for.
func (f *Failure) Unwrap() []error {
	all := []error{bundle.Reject(f.Reason, "M-6", "%s", f.Text)}
	if f.Cause != nil {
		all = append(all, f.Cause)
	}
	return all
}

// fault makes an error of the destination's a Failure. One that has a reason already keeps it, one that ends the process too, and none stays none.
func fault(cause error, format string, args ...any) error {
	if _, ok := bundle.ReasonOf(cause); ok || cause == nil || errors.Is(cause, ledger.ErrFatal) {
		return cause
	}
	return &Failure{Reason: bundle.ReasonDestination, Text: fmt.Sprintf(format, args...), Cause: cause}
}

// unfit is a destination that is not what it has to be.
func unfit(format string, args ...any) error {
	return &Failure{Reason: bundle.ReasonDestination, Text: fmt.Sprintf(format, args...)}
}

// mismatch is content that is not what was signed.
func mismatch(format string, args ...any) error {
	return &Failure{Reason: bundle.ReasonContentMismatch, Text: fmt.Sprintf(format, args...)}
}
