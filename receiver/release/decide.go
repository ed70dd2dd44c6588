package release

import (
	"fmt"
	"slices"
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
	CauseOfficer                   // who decides may not, or not this
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

// Rules are what a tenant asks for.
type Rules struct {
	Mode     Mode
	Signed   bool                       // decisions are officers' signatures, and what is none does not count
	Override bool                       // what is flagged may be released, by people who say that they know for what
	Separate bool                       // who sent or signed the content does not release it
	Counts   func(ledger.Decision) bool // whether an approval that was given earlier still counts; nil: all do
}

// Automatic says whether a bundle is released without anybody's decision.
func Automatic(mode Mode, r *ledger.Record) bool {
	return mode == ModeAutomatic && Rules{}.approvable(r, "") == nil
}

// Decide says which state a bundle gets by a new decision d, beside those in r. The state is r's own when more people are needed. A *Refusal says why d does not
// stand. r is not changed: Apply does that.
func (rules Rules) Decide(r *ledger.Record, d ledger.Decision) (ledger.State, error) {
	if err := checkText(d.Reason); err != nil {
		return r.State, err
	}
	if rules.Signed && d.Officer == "" {
		return r.State, refuse(CauseOfficer, "decisions are officers' signatures here, and this is none")
	}
	if !d.Approve {
		return decideReject(r, d)
	}
	if err := rules.approvable(r, d.Override); err != nil {
		return r.State, err
	}
	if d.Override != "" && strings.TrimSpace(d.Reason) == "" {
		return r.State, refuse(CauseText, "to release what is flagged needs a reason: --reason TEXT")
	}
	if why := rules.same(r, d); why != "" {
		return r.State, refuse(CauseOfficer, "%s: somebody else has to release it", why)
	}
	people := rules.approvals(r, d.Override)
	all := distinct(append(people, d))
	repeated := len(all) == len(people)
	switch {
	case len(all) >= rules.Mode.People(): // also where the tenant needs fewer people than it did
		return ledger.Approved, nil
	case repeated:
		return r.State, refuse(CauseRepeated, "you have approved it already: somebody else has to as well")
	}
	return r.State, nil
}

// same is why the one who decides is one who has sent the bundle, or signed what is in it; empty where that is allowed, or not so.
func (rules Rules) same(r *ledger.Record, d ledger.Decision) string {
	switch {
	case !rules.Separate:
		return ""
	case d.Officer == string(r.Sender) || d.Key != "" && d.Key == r.Key:
		return fmt.Sprintf("%s has sent it", d.Officer)
	}
	for _, n := range r.Inspections {
		for _, s := range n.Signers {
			if s.Principal == d.Officer || d.Key != "" && s.Key == d.Key {
				return fmt.Sprintf("%s has signed its content", d.Officer)
			}
		}
	}
	return ""
}

// Apply makes the decision part of the record, with the state that follows from it. Refused, the record is unchanged.
func (rules Rules) Apply(r *ledger.Record, d ledger.Decision) error {
	next, err := rules.Decide(r, d)
	if err != nil {
		return err
	}
	people := rules.approvals(r, d.Override)
	if !d.Approve || len(distinct(append(people, d))) > len(people) {
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
	case d.Override != "":
		return noOverride
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
func (rules Rules) Missing(r *ledger.Record) int {
	return max(0, rules.Mode.People()-len(rules.approvals(r, Flagged(r))))
}

// Covers says whether as many people as it takes have released a bundle although it is flagged for that reason. What fewer have said, or somebody who may no more, stands on record and covers nothing.
func (rules Rules) Covers(r *ledger.Record, flagged bundle.Reason) bool {
	return flagged != "" && rules.Override && len(rules.approvals(r, flagged)) >= rules.Mode.People()
}

// Flagged is the reason for which a bundle is flagged, or "".
func Flagged(r *ledger.Record) bundle.Reason {
	if r.Verdict == nil || *r.Verdict != ledger.Flagged || r.Reason == nil {
		return ""
	}
	return bundle.Reason(*r.Reason)
}

// overridden judges a bundle that is flagged, or an approval that says that it is.
func (rules Rules) overridden(r *ledger.Record, override bundle.Reason) error {
	why := Flagged(r)
	switch {
	case !rules.Override:
		return refuse(CauseVerdict, "its verdict is flagged (%s): only what is clean can be approved (its tenant has no override: allow)", why)
	case override == "":
		return refuse(CauseVerdict, "its verdict is flagged (%s): show says what was found, and --override with --reason releases it all the same", why)
	case override != why || why == "":
		return refuse(CauseVerdict, "it is flagged for %s, and the approval speaks of %s", why, override)
	}
	return nil
}

// approvable returns nil for a bundle whose only open question is who says yes.
func (rules Rules) approvable(r *ledger.Record, override bundle.Reason) error {
	flagged := r.Verdict != nil && *r.Verdict == ledger.Flagged
	switch {
	case r.State == ledger.Approved || r.State == ledger.Imported:
		return refuse(CauseState, "it is %s already", r.State)
	case r.State != ledger.Quarantined:
		return refuse(CauseState, "it is %s: only what is quarantined can be approved", state(r))
	case r.Manifest == nil:
		return refuse(CauseState, "it was never verified")
	case flagged && rules.overridden(r, override) != nil:
		return rules.overridden(r, override)
	case !flagged && override != "":
		return refuse(CauseVerdict, "it is not flagged: approve it without --override")
	case !flagged && holding(r) != "":
		return refuse(CauseHeld, "it is held: %s", holding(r))
	case !flagged && (r.Verdict == nil || *r.Verdict != ledger.Clean):
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

// noOverride is said of any other decision than an approval: what stands there is no reason that was held against anything, and goes into the record.
var noOverride = refuse(CauseText, "only an approval is given although something is flagged")

// decideReject lets anybody end what is not delivered yet. A bundle whose intent stands at a destination may be there already: a rejection would say something that
// is not so.
func decideReject(r *ledger.Record, d ledger.Decision) (ledger.State, error) {
	if d.Override != "" {
		return r.State, noOverride
	}
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
		if v.May() {
			return r.State, refuse(CauseDelivery, "it is being delivered to %s", v.Destination)
		}
	}
	return ledger.Rejected, nil
}

// approvals are those that count for releasing a bundle that is flagged for a reason, or clean, one of each person.
func (rules Rules) approvals(r *ledger.Record, flagged bundle.Reason) []ledger.Decision {
	var all []ledger.Decision
	for _, d := range r.Decisions {
		if d.Approve && d.Override == flagged && (!rules.Signed || d.Officer != "") && (rules.Counts == nil || rules.Counts(d)) && rules.same(r, d) == "" {
			all = append(all, d)
		}
	}
	return distinct(all)
}

// distinct leaves of decisions one of each person: whoever shares a name, or a key, with an earlier one is no other person.
func distinct(all []ledger.Decision) (of []ledger.Decision) {
	for _, d := range all {
		if !slices.ContainsFunc(of, func(e ledger.Decision) bool { return person(d) == person(e) || d.Key != "" && d.Key == e.Key }) {
			of = append(of, d)
		}
	}
	return of
}

// person tells people apart: officers by their principal, else accounts by their uid. An account's name is for reading: two of one name are two uids, and one uid under two names is one person.
func person(d ledger.Decision) string {
	if d.Officer != "" {
		return "officer:" + d.Officer
	}
	return "uid:" + strconv.FormatUint(uint64(d.UID), 10)
}

func who(d ledger.Decision) string {
	if d.Officer != "" {
		return d.Officer
	}
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
