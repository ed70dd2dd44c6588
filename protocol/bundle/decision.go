package bundle

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// decisionFormat names the form of a Decision's text.
const decisionFormat = "ecluse-decision-1"

// Verb is what a person decides.
type Verb string

// The verbs. To give up is to say that what is missing of a bundle, or all of it, will not come.
const (
	VerbApprove Verb = "approve"
	VerbReject  Verb = "reject"
	VerbGiveUp  Verb = "give-up"
)

// Decision is what an officer's signature covers, namespace release@ecluse (D-1). It holds nothing that the signer says of herself or of the time: the key says who, and the receiver
// when it heard of it. So it is the same text whoever makes it, and the receiver makes it again instead of believing one.
type Decision struct {
	Verb     Verb
	Bundle   *ID     // nil for a sequence of which nothing came
	Manifest *Digest // nil where there is none that was verified
	Sender   Name
	Tenant   Name
	Epoch    Epoch
	Sequence *uint64 // nil where it is not known
	Override Reason  // the reason why the bundle is flagged, which the officer knows of; empty where it is not
	Reason   string
}

// Append gives the exact text that is signed: one key a line, no white space beside the line feeds, in strings only quote, backslash and line feed escaped.
//
//	{"format":"ecluse-decision-1",
//	"decision":"approve",
//	"bundle":"<26>",
//	"manifest":"<64 hex>",
//	"sender":"ctie-low",
//	"tenant":"cssf",
//	"epoch":"<26>",
//	"sequence":17,
//	"override":null,
//	"reason":"ticket 4711"}
func (d *Decision) Append(dst []byte) []byte {
	text := func(key, value string, there bool) {
		dst = append(append(dst, key...), ':')
		if !there {
			dst = append(dst, "null"...)
			return
		}
		dst = append(appendText(append(dst, '"'), value), '"')
	}
	text(`{"format"`, decisionFormat, true)
	text(",\n\"decision\"", string(d.Verb), true)
	text(",\n\"bundle\"", textOf(d.Bundle), d.Bundle != nil)
	text(",\n\"manifest\"", textOf(d.Manifest), d.Manifest != nil)
	text(",\n\"sender\"", string(d.Sender), true)
	text(",\n\"tenant\"", string(d.Tenant), true)
	text(",\n\"epoch\"", d.Epoch.String(), true)
	dst = append(dst, ",\n\"sequence\":"...)
	if d.Sequence == nil {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendUint(dst, *d.Sequence, 10)
	}
	text(",\n\"override\"", string(d.Override), d.Override != "")
	text(",\n\"reason\"", d.Reason, true)
	return append(dst, "}\n"...)
}

func textOf[T interface{ String() string }](v *T) string {
	if v == nil {
		return ""
	}
	return (*v).String()
}

// appendText appends what stands between the quotes of a string that may hold line feeds.
func appendText(dst []byte, s string) []byte {
	return append(dst, bytes.ReplaceAll(appendQuoted(nil, s), []byte("\n"), []byte(`\n`))...)
}

// ParseDecision takes exactly what Append gives, and refuses every other text: decision-syntax (D-2).
func ParseDecision(text []byte) (*Decision, error) {
	if len(text) > MaxDecision {
		return nil, Reject(ReasonDecisionSyntax, "D-2", "more than %d bytes", MaxDecision)
	}
	var in struct {
		Format   string  `json:"format"`
		Decision Verb    `json:"decision"`
		Bundle   *ID     `json:"bundle"`
		Manifest *Digest `json:"manifest"`
		Sender   Name    `json:"sender"`
		Tenant   Name    `json:"tenant"`
		Epoch    Epoch   `json:"epoch"`
		Sequence *uint64 `json:"sequence"`
		Override *Reason `json:"override"`
		Reason   string  `json:"reason"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, Reject(ReasonDecisionSyntax, "D-2", "not the text of a decision: %v", err)
	}
	d := &Decision{Verb: in.Decision, Bundle: in.Bundle, Manifest: in.Manifest, Sender: in.Sender, Tenant: in.Tenant, Epoch: in.Epoch, Sequence: in.Sequence, Reason: in.Reason}
	if in.Override != nil {
		d.Override = *in.Override
	}
	switch {
	case !slices.Contains([]Verb{VerbApprove, VerbReject, VerbGiveUp}, d.Verb):
		return nil, Reject(ReasonDecisionSyntax, "D-2", "%q is none of approve, reject, give-up", excerpt(string(d.Verb)))
	case !bytes.Equal(d.Append(nil), text):
		return nil, Reject(ReasonDecisionSyntax, "D-2", "not in its one form")
	}
	return d, nil
}
