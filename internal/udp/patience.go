package udp

import (
	"time"

	"golang.org/x/sys/unix"
)

// Limits of what a Sender bears before one datagram, or one batch that goes as a whole, is given up. A call that succeeds starts
// them anew.
const (
	// mostRefusals: several may be on their way, each of an earlier datagram.
	mostRefusals = 4
	// mostDenials: the first call of a socket may be denied while a firewall makes its state; a second time it is a rule.
	mostDenials = 1
	// mostWaits and the time of each: at most 200 ms in all, which a watchdog and a person waiting for an exit do not notice.
	mostWaits   = 8
	awaitAtMost = 25 * time.Millisecond
	pauseAtMost = 2 * time.Millisecond
)

// verdict is what a Sender does about an error.
type verdict int

const (
	fail    verdict = iota
	again           // try the same call
	await           // wait until the socket takes more
	pause           // wait for a little
	descend         // go on in the next lesser mode
)

// patience counts what was borne since the last call that succeeded.
type patience struct{ refusals, denials, waits int }

// judge decides about an error of a call in a mode.
func (p *patience) judge(errno unix.Errno, m mode) verdict {
	switch errno {
	case unix.EINTR:
		return again
	case unix.ECONNREFUSED:
		return within(&p.refusals, mostRefusals, again)
	case unix.EPERM:
		return within(&p.denials, mostDenials, again)
	case unix.EAGAIN:
		return within(&p.waits, mostWaits, await)
	case unix.ENOBUFS, unix.ENOMEM: // of the host, and so the socket may well be ready
		return within(&p.waits, mostWaits, pause)
	case unix.EIO, unix.EINVAL, unix.EOPNOTSUPP: // the interface or the route cannot cut
		if m == modeGSO {
			return descend
		}
	case unix.ENOSYS: // behind some sandboxes
		if m < modeSingle {
			return descend
		}
	}
	return fail
}

// within allows v as often as most.
func within(count *int, most int, v verdict) verdict {
	if *count++; *count > most {
		return fail
	}
	return v
}
