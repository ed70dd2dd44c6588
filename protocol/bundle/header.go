package bundle

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// ManifestFormat is the value of a manifest's first key.
const ManifestFormat = "ecluse-manifest-1"

// createdForm is RFC 3339 in UTC and whole seconds.
const createdForm = "2006-01-02T15:04:05Z"

// Label is a word of the sender's about a bundle, shown to people.
type Label struct {
	Key   string // 1 to 64 bytes of text
	Value string // 0 to 256 bytes of text
}

// Header is what a manifest says of the bundle as a whole.
type Header struct {
	Bundle   ID
	Sender   Name
	Receiver Digest // the receiver's key id
	Tenant   Name
	Epoch    Epoch
	Sequence uint64  // from 1
	Previous Digest  // of the manifest before; zero for sequence 1, and only there
	Created  int64   // Unix seconds, 1970 to 9999
	Name     string  // one path component
	Labels   []Label // in ascending order of their keys
	Sums     Digest  // of SHA256SUMS
}

// check holds every field against its grammar, its limit (M-2) and the rules of section 2.
func (h *Header) check() error {
	if h.Bundle.IsZero() || h.Epoch.IsZero() {
		return Reject(ReasonManifestField, "I-1", "bundle or epoch is all zero")
	}
	for _, name := range []Name{h.Sender, h.Tenant} {
		if _, err := ParseName(string(name)); err != nil {
			return err
		}
	}
	switch {
	case h.Sequence < 1 || h.Sequence > MaxSequence:
		return Reject(ReasonManifestField, "M-2", "sequence %d is not 1 to %d", h.Sequence, uint64(MaxSequence))
	case (h.Sequence == 1) != h.Previous.IsZero():
		return Reject(ReasonManifestField, "M-2", "sequence %d cannot follow manifest %s", h.Sequence, h.Previous)
	case h.Created < 0 || h.Created > MaxCreated:
		return Reject(ReasonManifestField, "M-2", "created in an impossible year")
	}
	if _, err := ParseComponent(h.Name); err != nil {
		return err
	}
	return h.checkLabels()
}

func (h *Header) checkLabels() error {
	if len(h.Labels) > MaxLabels {
		return Reject(ReasonManifestField, "M-2", "%d labels, more than %d", len(h.Labels), MaxLabels)
	}
	for i, label := range h.Labels {
		switch {
		case i > 0 && h.Labels[i-1].Key >= label.Key:
			return Reject(ReasonManifestSyntax, "M-1", "the keys of the labels are not in strictly ascending order")
		case label.Key == "" || len(label.Key) > MaxLabelKey || !text(label.Key):
			return Reject(ReasonManifestField, "M-2", "the key of a label, %q, is not 1 to %d bytes of text", excerpt(label.Key), MaxLabelKey)
		case len(label.Value) > MaxLabelValue || !text(label.Value):
			return Reject(ReasonManifestField, "M-2", "the value of label %q is not up to %d bytes of text", label.Key, MaxLabelValue)
		}
	}
	return nil
}

// text tells whether a string is UTF-8 without the characters that N-2 refuses: labels are shown to people as names are.
func text(s string) bool {
	for _, r := range s {
		if control(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// parseCreated takes the one form. The clock's parser is generous with fractions; writing the time again tells.
func parseCreated(s string) (int64, error) {
	t, err := time.Parse(createdForm, s)
	if err != nil || t.UTC().Format(createdForm) != s || t.Unix() < 0 {
		return 0, Reject(ReasonManifestField, "M-2", "%q is no time from 1970 to 9999 in the form %s", excerpt(s), createdForm)
	}
	return t.Unix(), nil
}

// appendHeader appends everything up to the opening bracket of files.
func (m *Manifest) appendHeader(dst []byte) []byte {
	member := func(key, value string) {
		dst = append(append(append(dst, '"'), key...), `":"`...)
		dst = append(appendQuoted(dst, value), "\",\n"...)
	}
	dst = append(dst, '{')
	member("format", ManifestFormat)
	member("bundle", m.Bundle.String())
	member("sender", string(m.Sender))
	member("receiver", m.Receiver.String())
	member("tenant", string(m.Tenant))
	member("epoch", m.Epoch.String())
	dst = append(dst, `"sequence":`...)
	dst = append(strconv.AppendUint(dst, m.Sequence, 10), ",\n"...)
	member("previous", m.Previous.String())
	member("created", time.Unix(m.Created, 0).UTC().Format(createdForm))
	member("name", m.Name)
	dst = append(dst, `"labels":{`...)
	for i, label := range m.Labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(append(dst, '"'), label.Key), `":"`...)
		dst = append(appendQuoted(dst, label.Value), '"')
	}
	dst = append(dst, "},\n"...)
	member("sums", m.Sums.String())
	return append(dst, `"files":[`...)
}

// header reads everything up to the opening bracket of files.
func (p *manifestParser) header() {
	h := &p.m.Header
	p.next()
	p.literal("{")
	p.member("format", func(v []byte) error {
		if string(v) != ManifestFormat {
			return Reject(ReasonManifestField, "M-2", "%q, not %s", excerpt(v), ManifestFormat)
		}
		return nil
	})
	p.member("bundle", func(v []byte) (err error) { h.Bundle, err = ParseID(string(v)); return })
	p.member("sender", func(v []byte) (err error) { h.Sender, err = ParseName(string(v)); return })
	p.member("receiver", func(v []byte) (err error) { h.Receiver, err = parseDigest(v); return })
	p.member("tenant", func(v []byte) (err error) { h.Tenant, err = ParseName(string(v)); return })
	p.member("epoch", func(v []byte) (err error) { h.Epoch, err = ParseEpoch(string(v)); return })
	p.literal(`"sequence":`)
	h.Sequence = p.integer(MaxSequence)
	p.literal(",\n")
	p.next()
	p.member("previous", func(v []byte) (err error) { h.Previous, err = parseDigest(v); return })
	p.member("created", func(v []byte) (err error) { h.Created, err = parseCreated(string(v)); return })
	p.member("name", func(v []byte) (err error) { h.Name, err = ParseComponent(string(v)); return })
	p.labels()
	p.member("sums", func(v []byte) (err error) { h.Sums, err = parseDigest(v); return })
	if p.err == nil {
		p.refuse("header", h.check())
	}
	p.literal(`"files":[`)
}

// labels reads their line. A key that stands out of order, or twice, is another form.
func (p *manifestParser) labels() {
	p.literal(`"labels":{`)
	for p.ahead('"') {
		key := string(p.quoted())
		if n := len(p.m.Labels); n > 0 && p.m.Labels[n-1].Key >= key {
			p.fail("the keys of the labels are not in strictly ascending order")
		}
		p.literal(":")
		p.m.Labels = append(p.m.Labels, Label{key, string(p.quoted())})
		if !p.ahead(',') {
			break
		}
		if p.literal(","); !p.ahead('"') {
			p.fail("a label is missing")
		}
	}
	p.literal("},\n")
	p.next()
}
