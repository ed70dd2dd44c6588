package ledger

import (
	"fmt"
	"slices"

	"ecluse/protocol/bundle"
)

// State is where a bundle of the high side stands.
type State string

// The states. A bundle is in exactly one.
const (
	Missing     State = "missing"     // known only by its sequence
	Receiving   State = "receiving"   // coming in
	Damaged     State = "damaged"     // incomplete, and nothing comes
	Quarantined State = "quarantined" // whole, verified, held
	Approved    State = "approved"    // released, not delivered yet
	Imported    State = "imported"    // delivered
	Rejected    State = "rejected"    // by a person
	Abandoned   State = "abandoned"   // by its sender, by age, or by a person
	Refused     State = "refused"     // a check did not hold
)

// next is the table of states. "" is a bundle of which nothing was known.
var next = map[State][]State{
	"":          {Receiving, Refused, Abandoned},
	Missing:     {Receiving, Refused, Abandoned},
	Receiving:   {Damaged, Quarantined, Refused, Abandoned},
	Damaged:     {Receiving, Quarantined, Refused, Abandoned},
	Quarantined: {Approved, Rejected, Refused},
	Approved:    {Imported, Rejected, Refused, Quarantined}, // back, where an inspector flags it before it is delivered
	Imported:    {},
	Rejected:    {},
	Abandoned:   {},
	Refused:     {},
}

// States lists all states, in the order of a life.
func States() []State {
	return []State{Missing, Receiving, Damaged, Quarantined, Approved, Imported, Rejected, Abandoned, Refused}
}

// ParseState takes a state's name.
func ParseState(s string) (State, error) {
	if !slices.Contains(States(), State(s)) {
		return "", fmt.Errorf("no such state %q: one of %v", s, States())
	}
	return State(s), nil
}

// Ended says that nothing more will become of the bundle.
func (s State) Ended() bool { return s != "" && len(next[s]) == 0 }

// Stored says that the state has a record file. The others are rebuilt from the staging directory and the chains.
func (s State) Stored() bool {
	return s != Missing && s != Receiving && s != Damaged && s != ""
}

// follow returns an error unless to may follow s. A state may follow itself: its reason or verdict changes. One that was refused at its offer learns its sequence later, so
// that it does not count as missing; what was imported is looked at again.
func (s State) follow(to State) error {
	if s == to && s != "" && (!s.Ended() || s == Refused || s == Imported) || slices.Contains(next[s], to) {
		return nil
	}
	return &StateError{From: s, To: to}
}

// wantOfRoom are the reasons for which a bundle is refused at its offer and may come in when it is offered again: there was no room, or its tenant's route was closed. strange are the others for which nothing
// of it is taken.
var (
	wantOfRoom = []bundle.Reason{bundle.ReasonDiskFull, bundle.ReasonQuota, bundle.ReasonEnvelope, bundle.ReasonRouteStopped, bundle.ReasonRouteExpired}
	strange    = []bundle.Reason{bundle.ReasonTenantUnknown, bundle.ReasonTenantNotAllowed, bundle.ReasonLimit}
)

// ForWantOfRoom says that a bundle was refused before a byte of it was taken, because there was no room, or its tenant's route was closed: what is offered again may come in when that is over.
func (r *Record) ForWantOfRoom() bool {
	return r.State == Refused && !r.Held() && r.Reason != nil && slices.Contains(wantOfRoom, bundle.Reason(*r.Reason))
}

// Settled says that the record tells what became of the bundle, so that nothing more of it is wanted. What was refused for want of room is not settled, also where its record file still says so
// while it comes in.
func (r *Record) Settled() bool { return r.State.Stored() && !r.ForWantOfRoom() }

// follow is State.follow for records, and lets back what was refused for want of room. What was rejected can have been begun somewhere, and have it taken back.
func (r *Record) follow(after *Record) error {
	switch {
	case r == nil:
		return State("").follow(after.State)
	case r.ForWantOfRoom() && after.State == Receiving, r.State.Ended() && after.tookBack(r):
		return nil
	}
	return r.State.follow(after.State)
}

// StateError is a change that the table does not allow.
type StateError struct{ From, To State }

func (e *StateError) Error() string {
	if e.From == "" {
		return fmt.Sprintf("a bundle of which nothing is known cannot become %q", string(e.To))
	}
	return fmt.Sprintf("a bundle that is %s cannot become %q", e.From, string(e.To))
}

// Verdict is what inspection says of a quarantined bundle.
type Verdict string

// The verdicts.
const (
	Pending Verdict = "pending" // not inspected yet, or held
	Clean   Verdict = "clean"
	Flagged Verdict = "flagged"
)
