package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/dispatch"
	"ecluse/sender/house"
	"ecluse/sender/ledger"
	"ecluse/sender/redeem"
)

// codeRequest hands over a code that was typed.
type codeRequest struct {
	Code string `json:"code"`
}

// codeAnswer is what became of a code.
type codeAnswer struct {
	Kind    string       `json:"kind"` // ticket or receipt
	Tenant  bundle.Name  `json:"tenant"`
	Epoch   bundle.Epoch `json:"epoch"`
	Bundles []codeBundle `json:"bundles"` // of a receipt those that were settled now
	Held    []codeBundle `json:"held"`    // of a receipt those that it names and that are not settled here: a pass is under way, or they failed
}

// codeBundle is one bundle of a code.
type codeBundle struct {
	Bundle   *bundle.ID     `json:"bundle"` // null where none is known
	Sequence *uint64        `json:"sequence"`
	Name     *string        `json:"name"`
	State    *ledger.State  `json:"state"`
	Chunks   []ticket.Range `json:"chunks"` // of a ticket; null: all
	Code     int            `json:"code"`   // the exit code for this one alone
	Error    *string        `json:"error"`
}

// about fills in what is on record.
func about(l *ledger.Ledger, id bundle.ID) (b codeBundle) {
	r, err := l.Get(id)
	if err != nil {
		return codeBundle{Bundle: &id}
	}
	return codeBundle{Bundle: &id, Sequence: r.Sequence, Name: &r.Name, State: &r.State}
}

// acts is what is done with codes: by the running dispatcher, or noted for it.
type acts struct {
	resend  func(ctx context.Context, id bundle.ID, chunks []ticket.Range) error
	confirm func(ctx context.Context, id bundle.ID) error
}

// takeCode reads a code and does what it says. may is asked once the tenant is known.
func takeCode(ctx context.Context, s *house.State, who string, tenants []bundle.Name, text string, may func(tenant bundle.Name) error, do acts) (*codeAnswer, error) {
	o, err := (&redeem.Sender{Key: s.Ticket, Tenants: tenants, Ledger: s.Ledger}).Read(ctx, text)
	if err == nil {
		err = may(o.Tenant)
	}
	if err != nil {
		return nil, answerable(err)
	}
	kind := "ticket"
	if o.Receipt {
		kind = "receipt"
	}
	s.Audit.Tell(audit.Entry{Event: "redeemed", Tenant: string(o.Tenant), Who: who, Text: kind + " " + text})
	a := &codeAnswer{Kind: "ticket", Tenant: o.Tenant, Epoch: s.Epoch, Bundles: []codeBundle{}, Held: []codeBundle{}}
	if o.Receipt {
		a.Kind = "receipt"
		return a, a.settle(ctx, s.Ledger, o, do.confirm)
	}
	ends := together(len(o.Wishes), func(i int) error {
		if w := o.Wishes[i]; w.Err == nil {
			return do.resend(ctx, w.Bundle, w.Chunks)
		}
		return o.Wishes[i].Err
	})
	for i, w := range o.Wishes {
		b := codeBundle{}
		if !w.Bundle.IsZero() {
			b = about(s.Ledger, w.Bundle)
		}
		if w.Sequence > 0 {
			b.Sequence = &w.Sequence
		}
		b.Chunks = w.Chunks
		b.fault(ends[i])
		a.Bundles = append(a.Bundles, b)
	}
	return a, nil
}

func (b *codeBundle) fault(err error) {
	if err != nil {
		text := err.Error()
		b.Code, b.Error = cli.Code(answerable(err)), &text
	}
}

// settle confirms what a receipt names and was sent, many at once: they share the ledger's syncs.
func (a *codeAnswer) settle(ctx context.Context, l *ledger.Ledger, o *redeem.Order, confirm func(context.Context, bundle.ID) error) error {
	for _, run := range o.Runs {
		ids, err := l.Between(ctx, o.Tenant, run.From, run.To, ledger.Sent, ledger.Sending, ledger.Failed)
		if err != nil {
			return answerable(err)
		}
		for i, err := range together(len(ids), func(i int) error { return confirm(ctx, ids[i]) }) {
			switch b := about(l, ids[i]); {
			case err == nil:
				a.Bundles = append(a.Bundles, b)
			case errors.Is(err, dispatch.ErrNotSent):
				a.Held = append(a.Held, b)
			default:
				b.fault(err)
				a.Bundles = append(a.Bundles, b)
			}
		}
	}
	return nil
}

// togetherMost bounds how many changes wait at once.
const togetherMost = 256

// together does n things, many at once, and gives what each returned.
func together(n int, do func(i int) error) []error {
	errs, slots := make([]error, n), make(chan struct{}, togetherMost)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = do(i)
			<-slots
		})
	}
	all.Wait()
	return errs
}

// redeem takes a code from the socket.
func (d *daemon) redeem(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
	var in codeRequest
	if err := control.Decode(m, &in); err != nil {
		return nil, err
	}
	a, err := takeCode(ctx, d.State, p.Name(), d.c.names(), in.Code, func(tenant bundle.Name) error { _, err := d.tenantFor(p, string(tenant)); return err },
		acts{d.Dispatch.Resend, d.Dispatch.Confirm})
	if err != nil {
		d.log.Warn("code refused", zap.Uint32("uid", p.UID), zap.String("user", p.Name()), zap.Error(err))
		return nil, err
	}
	for _, b := range a.Bundles {
		d.log.Info(a.Kind+" taken", zap.String("tenant", string(a.Tenant)), zap.String("bundle", b.title()), zap.Uint64p("sequence", b.Sequence), zap.Int("chunk_ranges", len(b.Chunks)),
			zap.Stringp("error", b.Error), zap.Uint32("uid", p.UID), zap.String("user", p.Name()))
	}
	return a, nil
}

// names are those of the tenants.
func (c *Config) names() (list []bundle.Name) {
	for _, t := range c.Tenants {
		list = append(list, bundle.Name(t.Name))
	}
	return list
}

// redeemCode asks the daemon, or notes what the code says for the daemon to do when it starts.
func redeemCode(ctx context.Context, conf Config, text string) (*codeAnswer, error) {
	return cli.Ask(ctx, reader(conf), "redeem", codeRequest{text}, func() (out *codeAnswer, err error) {
		who := cli.UserName()
		err = atRest(ctx, conf, func(s *house.State) (err error) {
			out, err = takeCode(ctx, s, who, conf.names(), text, func(bundle.Name) error { return nil }, acts{
				resend: func(ctx context.Context, id bundle.ID, chunks []ticket.Range) error {
					return resendAtRest(ctx, conf, s, id, chunks)
				},
				confirm: func(ctx context.Context, id bundle.ID) error { return dispatch.Settle(ctx, s.Ledger, id) },
			})
			return err
		})
		return out, err
	})
}

// redeemAll takes every code that was typed: each is told of, and the worst end counts.
func redeemAll(c *cobra.Command, conf Config, codes []string, asJSON bool) error {
	var worst cli.Worst
	err := cli.Each(c, codes, asJSON, func(ctx context.Context, text string) (*codeAnswer, error) {
		a, err := redeemCode(ctx, conf, text)
		if err != nil {
			return nil, err
		}
		for _, b := range a.Bundles {
			if b.Error != nil {
				worst.Add(&cli.Error{Code: b.Code})
			}
		}
		return a, nil
	}, func(w io.Writer, a *codeAnswer) { printCode(w, c.ErrOrStderr(), a) })
	worst.Add(err)
	return worst.Err()
}

// printCode says what became of a code: one line for each bundle on w, and the rest beside it.
func printCode(w, talk io.Writer, a *codeAnswer) {
	for _, b := range a.Bundles {
		if b.Error != nil {
			fmt.Fprintf(talk, "%s: %s\n", b.title(), cli.Clean(*b.Error))
			continue
		}
		fmt.Fprintf(w, "%s  %s  %s%s\n", b.title(), cli.Or((*string)(b.State)), cli.Or(b.Name), b.part())
	}
	for _, b := range a.Held {
		fmt.Fprintf(talk, "%s is safe on the high side, and %s here: it stays\n", b.title(), cli.Or((*string)(b.State)))
	}
	switch {
	case a.Kind == "receipt":
		fmt.Fprintf(talk, "receipt of tenant %s: %d bundles are confirmed, and their items leave sent/\n", a.Tenant, a.well())
	default:
		fmt.Fprintf(talk, "ticket of tenant %s: %d bundles\n", a.Tenant, len(a.Bundles))
	}
}

// well is how many bundles nothing was wrong with.
func (a *codeAnswer) well() (n int) {
	for _, b := range a.Bundles {
		if b.Error == nil {
			n++
		}
	}
	return n
}

func (b *codeBundle) title() string {
	if b.Bundle != nil {
		return b.Bundle.String()
	}
	return "sequence " + cli.Number(b.Sequence)
}

// part says how much of a bundle is sent again.
func (b *codeBundle) part() string {
	if len(b.Chunks) == 0 {
		return ""
	}
	n, open := uint64(0), false
	for _, r := range b.Chunks {
		n, open = n+uint64(r.Count), open || r.Count == 0
	}
	if open {
		return "  (some chunks, to the end)"
	}
	return fmt.Sprintf("  (%d chunks)", n)
}

// onDisk says whether the item of a bundle stands in sent/.
func onDisk(conf Config, r *ledger.Record) bool {
	i := conf.tenant(string(r.Tenant))
	if i < 0 || r.Sequence == nil {
		return false
	}
	_, err := os.Lstat(filepath.Join(place(conf.Tenants[i].Outbox, r), r.Name))
	return err == nil
}
