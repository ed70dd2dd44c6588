package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

var errDisk = errors.New("disk")

// endings are what the work of a daemon that was interrupted may return beside a failure.
var endings = map[string]func(error) error{
	"alone":  func(err error) error { return err },
	"joined": func(err error) error { return errors.Join(context.Canceled, err) },
	"joined and wrapped": func(err error) error {
		return errors.Join(fmt.Errorf("link: %w", context.Canceled), nil, fmt.Errorf("book: %w", err))
	},
	"deep": func(err error) error { return fmt.Errorf("house: %w", errors.Join(errors.Join(context.Canceled), err)) },
}

func TestADaemonThatWasAskedToEndEndsWell(t *testing.T) {
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGUSR1)
	defer stop()
	live := func() *Life { return Live(asked) }
	first := live()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Context().Done():
	case <-time.After(5 * time.Second):
		t.Fatal("no signal")
	}
	for _, err := range []error{nil, context.Canceled, context.Cause(asked), fmt.Errorf("link: %w", context.Canceled), errors.Join(context.Canceled, context.Cause(asked))} {
		l := live()
		l.Fatal(context.Canceled)
		if got := l.End(err); got != nil {
			t.Errorf("asked to end, with %v, it ends with %v", err, got)
		}
	}
}

// A sync that fails while everything ends already is not lost: the state would be closed as if nothing had happened.
func TestWhatFailsWhileADaemonEndsIsTold(t *testing.T) {
	asked, stop := context.WithCancel(context.Background())
	stop()
	for name, ending := range endings {
		if got := Live(asked).End(ending(errDisk)); !errors.Is(got, errDisk) {
			t.Errorf("returned, %s: %v", name, got)
		}
		l := Live(asked)
		l.Fatal(ending(errDisk))
		if got := l.End(context.Canceled); !errors.Is(got, errDisk) {
			t.Errorf("called, %s: %v", name, got)
		}
	}
}

func TestADaemonThatFailedSaysWhyOnce(t *testing.T) {
	for _, err := range []error{nil, errDisk, context.Canceled, errors.Join(context.Canceled, errDisk)} {
		l := Live(context.Background())
		l.Fatal(errDisk)
		if got := l.End(err); got == nil || got.Error() != "disk" {
			t.Errorf("with %v: %v", err, got)
		}
	}
	l := Live(context.Background())
	l.Fatal(nil)
	if err := l.End(nil); err != nil {
		t.Errorf("ended by itself: %v", err)
	}
}
