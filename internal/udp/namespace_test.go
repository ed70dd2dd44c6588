package udp

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// work is done on a thread in a network namespace of its own, one function after the other.
var work chan func()

// inNamespace makes a network namespace with nothing but loopback, of the given MTU, for the functions that here runs.
func inNamespace(t *testing.T, mtu int) {
	t.Helper()
	work = make(chan func())
	t.Cleanup(func() { close(work) })
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = raiseLoopback(mtu)
		}
		ready <- err
		for f := range work {
			f()
		}
	}()
	if err := <-ready; errors.Is(err, unix.EPERM) {
		if os.Getenv("CI") == "true" {
			t.Fatal("no right to make a network namespace")
		}
		t.Skip("SKIPPED: no right to make a network namespace")
	} else if err != nil {
		t.Fatal(err)
	}
}

func raiseLoopback(mtu int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, lo); err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// here runs f in the namespace.
func here(f func()) {
	done := make(chan struct{})
	work <- func() { defer close(done); f() }
	<-done
}

// pairHere is pair in the namespace.
func pairHere(t *testing.T, address string) (*Sender, *Receiver) {
	t.Helper()
	var s *Sender
	var r *Receiver
	var err error
	here(func() {
		if r, err = Listen(ReceiverOptions{Listen: netip.AddrPortFrom(netip.MustParseAddr(address), 0)}); err != nil {
			return
		}
		s, err = Dial(SenderOptions{To: r.Addr()})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.Close(), r.Close() })
	return s, r
}
