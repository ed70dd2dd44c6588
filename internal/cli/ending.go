package cli

import (
	"context"
	"errors"
	"sync"
)

// Life is one life of a daemon: from its start until somebody asks it to end, or a promise cannot be kept any more. What fails while it ends is part of how it ended.
type Life struct {
	asked, own context.Context
	cancel     context.CancelCauseFunc

	mu    sync.Mutex
	first error // that Fatal was called with
}

// Live begins a life within a context that is over when the daemon is asked to end. End has to be called.
func Live(asked context.Context) *Life {
	l := &Life{asked: asked}
	l.own, l.cancel = context.WithCancelCause(asked)
	return l
}

// Context is over when the life ends, for whatever reason.
func (l *Life) Context() context.Context { return l.own }

// Fatal ends the life because of an error; nil ends it without one. It may be called from any goroutine, also while the life ends already.
func (l *Life) Fatal(err error) {
	l.mu.Lock()
	if l.first == nil {
		l.first = l.failure(err)
	}
	l.mu.Unlock()
	l.cancel(err)
}

// End says how the daemon ended: asked to, that is well, whatever was interrupted by it; else, or where something failed on the way, by all that was wrong. err is what its work returned.
func (l *Life) End(err error) error {
	l.cancel(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.failure(err)
	if l.first == nil || errors.Is(err, l.first) {
		return err
	}
	return errors.Join(l.first, err)
}

// failure is an error without what says only that somebody asked for the end; nil where nothing is left of it.
func (l *Life) failure(err error) error {
	if err == nil || err == context.Canceled || l.asked.Err() != nil && err == context.Cause(l.asked) {
		return nil
	}
	switch x := err.(type) {
	case interface{ Unwrap() []error }:
		var left []error
		for _, e := range x.Unwrap() {
			if e = l.failure(e); e != nil {
				left = append(left, e)
			}
		}
		if len(left) < len(x.Unwrap()) {
			return errors.Join(left...)
		}
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil && l.failure(inner) == nil {
			return nil
		}
	}
	return err
}
