package ledger

import (
	"fmt"
	"slices"
)

// State is where a bundle of the low side stands.
type State string

// The states, in the order of a life.
const (
	Waiting   State = "waiting"   // claimed; nothing of it has left
	Sending   State = "sending"   // a pass is under way, or the next one waits for its time
	Sent      State = "sent"      // the last pass is out
	Confirmed State = "confirmed" // a receipt says that it is safe on the high side
	Failed    State = "failed"    // given up, with a reason
)

// next lists the states that may follow. Sent goes back to sending when somebody asks for it again.
var next = map[State][]State{
	Waiting:   {Sending, Failed},
	Sending:   {Sent, Failed},
	Sent:      {Sending, Confirmed},
	Confirmed: {},
	Failed:    {},
}

// ParseState takes a state's name.
func ParseState(s string) (State, error) {
	if _, ok := next[State(s)]; !ok {
		return "", fmt.Errorf("no such state %q: waiting, sending, sent, confirmed or failed", s)
	}
	return State(s), nil
}

// Final says that the daemon has nothing left to do for the bundle by itself.
func (s State) Final() bool { return s == Sent || s == Confirmed || s == Failed }

// follow returns an error unless to may follow s. A bundle that is not known begins by waiting; one that stays what it is may change in other ways.
func (s State) follow(to State) error {
	if s == "" && to == Waiting || s == to && s != "" || slices.Contains(next[s], to) {
		return nil
	}
	return fmt.Errorf("a bundle that is %q cannot become %q", s, to)
}
