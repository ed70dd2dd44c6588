package record

import (
	"unicode"
	"unicode/utf8"

	"ecluse/protocol/bundle"
)

const (
	maxReason  = 255
	maxAbandon = 16 + 16 + 1 + bundle.MaxName + 1 + maxReason + 2 + bundle.MaxSignature
)

// Abandon says that the sender gives a bundle up. It uses no sequence.
type Abandon struct {
	Bundle    bundle.ID
	Epoch     bundle.Epoch
	Tenant    bundle.Name
	Reason    string // in words: 1 to 255 bytes, printable
	Signature []byte // raw SSHSIG blob, namespace abandon@ecluse, over bundle.AbandonMessage
}

var errAbandonReason error = bundle.Reject(bundle.ReasonRecordBody, "R-3", "the reason of the abandon is not printable text")

// Type is TypeAbandon.
func (a *Abandon) Type() Type { return TypeAbandon }

// Length is the number of bytes of the body.
func (a *Abandon) Length() int {
	return maxAbandon - bundle.MaxName - maxReason - bundle.MaxSignature + len(a.Tenant) + len(a.Reason) + len(a.Signature)
}

// Append appends the body to dst.
func (a *Abandon) Append(dst []byte) []byte {
	dst = append(dst, a.Bundle[:]...)
	dst = append(dst, a.Epoch[:]...)
	dst = appendStr8(dst, a.Tenant)
	dst = appendStr8(dst, a.Reason)
	return appendStr16(dst, a.Signature)
}

// Parse reads a body, and refuses it with record-body. Signature aliases the body.
func (a *Abandon) Parse(body []byte) error {
	f := fields{rest: body}
	a.Bundle, a.Epoch = f.id(), f.epoch()
	keep(&a.Tenant, f.str8())
	keep(&a.Reason, f.str8())
	a.Signature = f.str16()
	if err := f.end(); err != nil {
		return err
	}
	return a.check()
}

// AppendTo puts the abandon into a block; it is false when it does not fit.
func (a *Abandon) AppendTo(b *Block) bool {
	mustHold(a.check())
	body := b.add(TypeAbandon, a.Length())
	if body == nil {
		return false
	}
	a.Append(body)
	return true
}

// AbandonReason makes a reason that R-3 takes of any text: what cannot be printed becomes a question mark, and what is too long is cut.
func AbandonReason(text string) string {
	b := make([]byte, 0, maxReason)
	for _, r := range text {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			r = '?'
		}
		if len(b)+utf8.RuneLen(r) > maxReason {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	if len(b) == 0 {
		return "?"
	}
	return string(b)
}

// check refuses values outside I-1, I-2 and section 1, and a reason that could draw on a terminal.
func (a *Abandon) check() error {
	if err := checkOwner(a.Bundle, a.Epoch, a.Tenant); err != nil {
		return err
	}
	if !printable(a.Reason) {
		return errAbandonReason
	}
	return checkSignature(a.Signature)
}

// printable tells whether a reason is 1 to maxReason bytes of UTF-8 made of letters, marks, numbers, punctuation, symbols and the
// plain space.
func printable(s string) bool {
	if len(s) < 1 || len(s) > maxReason || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
