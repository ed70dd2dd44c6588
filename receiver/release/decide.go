package release

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// MaxReason bounds a person's reason, in bytes: a few sentences, in a record file that is written often.
const MaxReason = 1024

// Cause says which rule a refused decision met.
type Cause uint8

// The causes. CauseText is a fault of the command line; all others are checks that did not hold.
const (
	CauseState    Cause = iota + 1 // the bundle is not in a state where this can be decided
	CauseVerdict                   // inspection has not said clean
	CauseHeld                      // a reason holds it, such as epoch-new
	CauseRejected                  // a person has rejected it
	CauseRepeated                  // this person has approved it already, and somebody else is needed
	CauseDelivery                  // its delivery has begun, or a destination has it
	CauseText                      // the reason is missing, too long or not plain text
)

// Refusal is a decision that does not stand. Nothing changes by it.
type Refusal struct {
	Cause Cause
	Text  string // a sentence for the person who asked
}

func (r *Refusal) Error() string { return r.Text }

func refuse(c Cause, format string, args ...any) *Refusal {
	return &Refusal{Cause: c, Text: fmt.Sprintf(format, args...)}
}

// Automatic says whether a bundle is released without anybody's decision.
func Automatic(mode Mode, r *ledger.Record) bool {
	return mode == ModeAutomatic && approvable(r) == nil
}

// Decide says which state a bundle gets by a new decision d, beside those in r. The state is r's own when more people are needed. A *Refusal says why d does not
// stand. r is not changed: Apply does that.
func Decide(mode Mode, r *ledger.Record, d ledger.Decision) (ledger.State, error) {
	if err := checkText(d.Reason); err != nil {
		return r.State, err
	}
	if !d.Approve {
		return decideReject(r, d)
	}
	if err := approvable(r); err != nil {
		return r.State, err
	}
	people := approvers(r)
	repeated := people[person(d)]
	people[person(d)] = true
	switch {
	case len(people) >= mode.People(): // also where the tenant needs fewer people than it did
		return ledger.Approved, nil
	case repeated:
		return r.State, refuse(CauseRepeated, "you have approved it already: somebody else has to as well")
	}
	return r.State, nil
}

// Apply makes the decision part of the record, with the state that follows from it. Refused, the record is unchanged.
func Apply(mode Mode, r *ledger.Record, d ledger.Decision) error {
	next, err := Decide(mode, r, d)
	if err != nil {
		return err
	}
	if !d.Approve || !approvers(r)[person(d)] {
		r.Decisions = append(r.Decisions, d)
	}
	r.State = next
	if !d.Approve {
		reason := string(bundle.ReasonRejected)
		r.Reason, r.Detail = &reason, d.Reason
	}
	return nil
}

// GiveUp makes a person's word part of a record that what is missing of the bundle, or all of it, will not come.
func GiveUp(r *ledger.Record, d ledger.Decision) error {
	if err := checkText(d.Reason); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(d.Reason) == "":
		return refuse(CauseText, "to give a bundle up needs a reason: --reason TEXT")
	case r.State != "" && r.State != ledger.Damaged:
		return refuse(CauseState, "it is %s: only what is damaged or missing can be given up", state(r))
	}
	reason := string(bundle.ReasonRejected)
	r.State, r.Reason, r.Detail, r.Decisions = ledger.Abandoned, &reason, d.Reason, append(r.Decisions, d)
	return nil
}

// Missing is how many more persons must approve a bundle before it is released.
func Missing(mode Mode, r *ledger.Record) int {
	return max(0, mode.People()-len(approvers(r)))
}

// approvable returns nil for a bundle whose only open question is who says yes.
func approvable(r *ledger.Record) error {
	switch {
	case r.State == ledger.Approved || r.State == ledger.Imported:
		return refuse(CauseState, "it is %s already", r.State)
	case r.State != ledger.Quarantined:
		return refuse(CauseState, "it is %s: only what is quarantined can be approved", state(r))
	case r.Manifest == nil:
		return refuse(CauseState, "it was never verified")
	case r.Verdict != nil && *r.Verdict == ledger.Flagged:
		return refuse(CauseVerdict, "its verdict is flagged: only what is clean can be approved")
	case holding(r) != "":
		return refuse(CauseHeld, "it is held: %s", holding(r))
	case r.Verdict == nil || *r.Verdict != ledger.Clean:
		return refuse(CauseVerdict, "its verdict is %s: only what is clean can be approved", verdict(r))
	}
	for _, d := range r.Decisions {
		if !d.Approve {
			return refuse(CauseRejected, "it was rejected by %s", who(d))
		}
	}
	return nil
}

// holding is why a quarantined bundle is held, or "". The only reason that holds nothing is the one that says that nobody looked inside: an unknown one holds.
func holding(r *ledger.Record) string {
	if r.Reason == nil || *r.Reason == "" || bundle.Reason(*r.Reason) == bundle.ReasonNotInspected {
		return ""
	}
	if bundle.Reason(*r.Reason) == bundle.ReasonEpochNew {
		return *r.Reason + ": its sender was installed anew or restored; pair it again first"
	}
	if bundle.Reason(*r.Reason) == bundle.ReasonRollback {
		return *r.Reason + ": this side's state was put back or is lost in part; ecluse-receiver anchor says what can be done"
	}
	if bundle.Reason(*r.Reason) == bundle.ReasonInspection {
		return *r.Reason + ": it is not inspected yet"
	}
	if bundle.Reason(*r.Reason) == bundle.ReasonInspector {
		return *r.Reason + ": an inspector failed, and is asked again (show says why)"
	}
	return *r.Reason
}

// decideReject lets anybody end what is not delivered yet. A bundle whose intent stands at a destination may be there already: a rejection would say something that
// is not so.
func decideReject(r *ledger.Record, d ledger.Decision) (ledger.State, error) {
	if strings.TrimSpace(d.Reason) == "" {
		return r.State, refuse(CauseText, "a rejection needs a reason: --reason TEXT")
	}
	if r.State != ledger.Quarantined && r.State != ledger.Approved {
		return r.State, refuse(CauseState, "it is %s: only what is quarantined, or approved and not delivered, can be rejected", state(r))
	}
	for _, v := range r.Deliveries {
		if v.Done != nil {
			return r.State, refuse(CauseDelivery, "it stands in %s already", v.Destination)
		}
		if v.Name != "" {
			return r.State, refuse(CauseDelivery, "it is being delivered to %s", v.Destination)
		}
	}
	return ledger.Rejected, nil
}

// approvers is the set of persons who have approved.
func approvers(r *ledger.Record) map[string]bool {
	set := make(map[string]bool)
	for _, d := range r.Decisions {
		if d.Approve {
			set[person(d)] = true
		}
	}
	return set
}

// person tells people apart. The name is for reading: two accounts of one name are two uids, and one uid under two names is one person.
func person(d ledger.Decision) string { return "uid:" + strconv.FormatUint(uint64(d.UID), 10) }

func who(d ledger.Decision) string {
	if d.Who == "" {
		return person(d)
	}
	return d.Who
}

func state(r *ledger.Record) string {
	if r.State == "" {
		return "not known"
	}
	return string(r.State)
}

func verdict(r *ledger.Record) string {
	if r.Verdict == nil {
		return "not given yet"
	}
	return string(*r.Verdict)
}

// checkText keeps what a person writes printable: it ends in logs, in terminals and in the record.
func checkText(s string) error {
	if len(s) > MaxReason {
		return refuse(CauseText, "the reason has %d bytes: at most %d", len(s), MaxReason)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return c != ' ' && c != '\n' && !unicode.IsPrint(c) && !joins(c) }) {
		return refuse(CauseText, "the reason holds control characters, or is no UTF-8")
	}
	return nil
}

// joins are characters that names of people and families are written with.
func joins(c rune) bool {
	return c == '\u200c' || c == '\u200d' || c == '\u00a0' || c == '\u202f' || unicode.Is(unicode.Variation_Selector, c)
}
