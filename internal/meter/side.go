package meter

import (
	"bytes"
	"context"
	"crypto/sha512"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

// Side is a house for whoever asks about its account, the daemon or a command.
type Side struct {
	Book Book
	Rows Rows
	Terms
	Now func() time.Time
}

// Request asks for months.
type Request struct {
	From    usage.Month `json:"from"`
	Through usage.Month `json:"through"`
}

// reportMost bounds the months of one answer.
const reportMost = 120

// SpanError is a Request for months that no answer has.
type SpanError struct{ Asked Request }

func (e *SpanError) Error() string {
	return fmt.Sprintf("from %v through %v: one to %d months are shown at once", e.Asked.From, e.Asked.Through, reportMost)
}

// Report answers a Request.
func (s Side) Report(ctx context.Context, in Request) (*usage.Report, error) {
	if in.Through < in.From || in.Through-in.From >= reportMost {
		return nil, &SpanError{in}
	}
	a, err := newAccount(ctx, s.Book, s.Rows, &s.Prices, s.Now(), nil)
	if err != nil {
		return nil, err
	}
	return a.Report(ctx, in.From, in.Through, s.Tenants)
}

// Paper answers for the statement of a month, which has to be as it was signed.
func (s Side) Paper(m usage.Month) (*Paper, error) {
	p, err := s.Book.Paper(m)
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("the signature of %s does not hold: %v; restore both from a backup", p.Path, err)
	}
	return p, nil
}

// check holds the text against the signature, where there is one, and its key against those that sign here.
func (p *Paper) check() error {
	if p.Signature == nil {
		return nil
	}
	blob, err := bundle.Unarmor([]byte(*p.Signature))
	if err != nil {
		return err
	}
	s, err := bundle.ParseSignature(blob, usage.Namespace)
	if err != nil {
		return err
	}
	if err := s.Verify(sha512.Sum512([]byte(p.Text))); err != nil {
		return err
	}
	if !strings.Contains("\n"+p.Signers, "\n"+signerLine(p.Name, s.Key())) {
		return fmt.Errorf("its key %s is not in %s for %s", ssh.FingerprintSHA256(s.Key()), signers, p.Name)
	}
	return nil
}

// signerLine is the line of allowed_signers for a key.
func signerLine(name string, key ssh.PublicKey) string {
	return fmt.Sprintf("%s namespaces=%q %s", name, usage.Namespace, bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))) + "\n"
}
