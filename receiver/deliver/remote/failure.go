package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ecluse/protocol/bundle"
)

// Failure is an attempt that did not succeed. It unwraps to a *bundle.Rejection and to its cause.
type Failure struct {
	Reason bundle.Reason
	Text   string
	Cause  error // or nil
	Away   bool  // it is the destination: whatever comes behind would fail too
	Maybe  bool  // what was asked for last may have been done all the same
}

func (f *Failure) Error() string {
	if f.Cause == nil {
		return fmt.Sprintf("%s: %s", f.Reason, f.Text)
	}
	return fmt.Sprintf("%s: %s: %v", f.Reason, f.Text, f.Cause)
}

// Unwrap gives bundle.ReasonOf, errors.Is and errors.As what they look for.
func (f *Failure) Unwrap() []error {
	all := []error{bundle.Reject(f.Reason, "M-6", "%s", f.Text)}
	if f.Cause != nil {
		all = append(all, f.Cause)
	}
	return all
}

// Away is a destination that cannot be used at present.
func Away(cause error, format string, args ...any) error {
	return &Failure{Reason: bundle.ReasonDestination, Text: fmt.Sprintf(format, args...), Cause: cause, Away: true}
}

// Failed is a bundle that a destination does not take at present.
func Failed(cause error, format string, args ...any) error {
	return &Failure{Reason: bundle.ReasonDestination, Text: fmt.Sprintf(format, args...), Cause: cause}
}

// Unfit is a bundle that is nothing for this destination.
func Unfit(format string, args ...any) error {
	return &Failure{Reason: bundle.ReasonUnfit, Text: fmt.Sprintf(format, args...)}
}

// mismatch is content that is not what was signed.
func mismatch(format string, args ...any) error {
	return &Failure{Reason: bundle.ReasonContentMismatch, Text: fmt.Sprintf(format, args...)}
}

// Known says that an error needs no other words: it is a Failure, a refusal, or the end of the process.
func Known(ctx context.Context, err error) bool {
	var f *Failure
	_, rejected := bundle.ReasonOf(err)
	return errors.As(err, &f) || rejected || err != nil && ctx.Err() != nil
}

// IsAway says whether an error is about the destination as a whole.
func IsAway(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Away
}

// Cut is an attempt that was ended from here while it asked for what makes a bundle stand at its destination.
func Cut(cause error) error {
	return &Failure{Reason: bundle.ReasonDestination, Text: "the attempt was ended", Cause: cause, Maybe: true}
}

// Answered says whether an error is what a destination that was asked has said of a bundle.
func Answered(err error) bool {
	var f *Failure
	return errors.As(err, &f) && !f.Away && f.Reason != bundle.ReasonContentMismatch // of which it was not asked
}

// IsMaybe says whether what failed may have been done all the same.
func IsMaybe(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Maybe
}

// Unreached gives a hint where a server could not be reached; "" where it was, as far as the error says.
func Unreached(err error) string {
	var names *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var stalled *Stalled
	var slow net.Error
	var op *net.OpError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown):
		return "its certificate is signed by nobody that is trusted here: name the authority's certificate in ca:"
	case errors.As(err, &host), errors.As(err, &invalid):
		return "its certificate does not hold: look at its names and dates, and at this machine's clock"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "it does not speak TLS at this port"
	case errors.As(err, &names):
		return "its name is not known here: look at the name, and at this machine's resolver"
	case errors.Is(err, unix.ECONNREFUSED):
		return "nobody listens there: is it running, and is the port right?"
	case errors.As(err, &stalled), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "nothing moved for too long: is it overloaded, or its disk?"
	case errors.As(err, &op), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return "the connection broke: is it running, and does a firewall let us through?"
	}
	return ""
}
