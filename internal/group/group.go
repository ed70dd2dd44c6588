// Package group gathers requests that share one durable step (group commit).
//
// What it promises: requests are taken in their order; whoever waits for one of them is not kept waiting for more to come; those that nobody waits for are held back a little, so that
// they share the step of one that somebody waits for.
package group

import "time"

// PostedWait is how long requests that nobody waits for are held back.
const PostedWait = 5 * time.Millisecond

// Request is one request.
type Request interface {
	comparable
	Posted() bool // nobody waits for it
	Slow() bool   // taking it lasts long: what came before is not to wait for it
}

// Gather takes the first request and those that come behind it, until take wants no more, or none is there. next is one that has come and was not taken: it begins the next group.
func Gather[R Request](first R, more <-chan R, take func(R) (more bool)) (next R) {
	var none R
	var late <-chan time.Time // nil once somebody waits
	if first.Posted() {
		timer := time.NewTimer(PostedWait)
		defer timer.Stop()
		late = timer.C
	}
	for r := first; ; {
		if !take(r) {
			return none
		}
		if !r.Posted() {
			late = nil
		}
		var ok bool
		if r, ok = follow(more, late); !ok {
			return none
		}
		if r.Slow() && !first.Slow() {
			return r
		}
	}
}

// follow gives the next request: one that is there, or that comes in time.
func follow[R Request](more <-chan R, late <-chan time.Time) (r R, ok bool) {
	select {
	case r := <-more:
		return r, true
	default:
	}
	if late == nil {
		return r, false
	}
	select {
	case r := <-more:
		return r, true
	case <-late:
		return r, false
	}
}
