package cli

import (
	"context"
	"errors"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

func TestADaemonThatWasAskedToEndEndsWell(t *testing.T) {
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGUSR1)
	defer stop()
	own, fatal := context.WithCancelCause(asked)
	defer fatal(nil)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-own.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("no signal")
	}
	if err := Ending(asked, own, context.Canceled); err != nil {
		t.Errorf("asked to end, it ends with %v", err)
	}
	disk := errors.New("disk")
	if err := Ending(asked, own, disk); !errors.Is(err, disk) {
		t.Errorf("what failed on the way is lost: %v", err)
	}
}

func TestADaemonThatFailedSaysWhyOnce(t *testing.T) {
	own, fatal := context.WithCancelCause(context.Background())
	disk := errors.New("disk")
	fatal(disk)
	for _, err := range []error{nil, disk, context.Canceled} {
		if got := Ending(context.Background(), own, err); got == nil || got.Error() != "disk" {
			t.Errorf("with %v: %v", err, got)
		}
	}
	well, end := context.WithCancelCause(context.Background())
	end(nil)
	if err := Ending(context.Background(), well, nil); err != nil {
		t.Errorf("ended by itself: %v", err)
	}
}
