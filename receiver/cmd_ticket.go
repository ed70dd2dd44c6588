package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/receiver/house"
	"ecluse/receiver/issue"
)

// ticketFlags are what ticket is told.
type ticketFlags struct {
	config, sender, tenant string
	all, receipt, qr, json bool
}

// ticketRequest asks for one ticket, for tickets for everything, or for receipts.
type ticketRequest struct {
	Bundle  string      `json:"bundle"`
	All     bool        `json:"all"`
	Receipt bool        `json:"receipt"`
	Sender  bundle.Name `json:"sender"`
	Tenant  bundle.Name `json:"tenant"`
}

func ticketCommand() *cobra.Command {
	var f ticketFlags
	c := &cobra.Command{
		Use: "ticket [flags] (BUNDLE... | --all | --receipt)", Short: "Print codes to carry back: what is missing, what is safe", ValidArgsFunction: completeBundles(&f.config),
		Long: `Print codes that a person carries to the low side, one a line. A ticket says what is missing of bundles; there, "ecluse-sender resend --ticket CODE" sends exactly that. With
--receipt a code says what is safe here, in quarantine or beyond; there, the same command lets the sender clear it from sent/.

A BUNDLE may be cut to 6 characters; one of which nothing is here is named by [SENDER/]TENANT/SEQUENCE. A code may be typed in either case, with or without its hyphens. On one day no
more codes are issued than tickets.per_day allows; one that was issued already on that day counts no more.`,
		Example: `  ecluse-receiver ticket 3f7k2q
  ecluse-receiver ticket --all
  ecluse-receiver ticket --qr default/17
  ecluse-receiver ticket --receipt --tenant cssf`,
		Args: func(_ *cobra.Command, args []string) error { return f.check(args) },
		RunE: func(c *cobra.Command, args []string) error { return issueTickets(c, f, args) },
	}
	configFlag(c, &f.config)
	cli.JSONFlag(c, &f.json)
	c.Flags().BoolVar(&f.all, "all", false, "everything that is missing or damaged, in as few codes as hold it")
	c.Flags().BoolVar(&f.receipt, "receipt", false, "what is safe here")
	c.Flags().StringVar(&f.sender, "sender", "", "with --receipt: only this `SENDER`")
	c.Flags().StringVar(&f.tenant, "tenant", "", "with --receipt: only this `TENANT`")
	c.Flags().BoolVar(&f.qr, "qr", false, "draw each code as well, for a camera")
	return c
}

// check holds the flags against each other.
func (f *ticketFlags) check(args []string) error {
	ways := 0
	for _, is := range []bool{f.all, f.receipt, len(args) > 0} {
		if is {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New("name bundles as arguments, or give --all, or --receipt: one of the three")
	case !f.receipt && f.sender+f.tenant != "":
		return errors.New("--sender and --tenant are for --receipt")
	}
	return nil
}

// shownCode is a code as --json prints it.
type shownCode struct {
	*issue.Issued
	QR []string `json:"qr"` // lines of a terminal
}

func issueTickets(c *cobra.Command, f ticketFlags, args []string) error {
	conf, err := load(f.config)
	if err != nil {
		return err
	}
	if err := cli.HasTenant(conf.shared().Names(), f.tenant); err != nil {
		return err
	}
	me := person{uint32(os.Getuid()), cli.UserName()}
	show := func(w io.Writer, s *shownCode) { f.print(c, s) }
	if len(args) > 0 {
		return cli.Each(c, args, f.json, func(ctx context.Context, text string) (*shownCode, error) {
			i, err := askDesk[issue.Issued](ctx, conf, me, ticketRequest{Bundle: text})
			if err != nil {
				return nil, err
			}
			return drawn(i)
		}, show)
	}
	b, err := askDesk[issue.Batch](c.Context(), conf, me, ticketRequest{All: f.all, Receipt: f.receipt, Sender: bundle.Name(f.sender), Tenant: bundle.Name(f.tenant)})
	if err != nil {
		return err
	}
	codes := []*shownCode{}
	for _, i := range b.Codes {
		s, err := drawn(i)
		if err != nil {
			return err
		}
		if codes = append(codes, s); !f.json {
			show(c.OutOrStdout(), s)
		}
	}
	if f.json {
		if err := cli.PrintJSON(c.OutOrStdout(), codes); err != nil {
			return err
		}
	}
	if f.all && len(codes)+b.Unnamed == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "nothing is missing, but for what is still coming in (list --state receiving)")
	}
	return unnamed(b)
}

// unnamed is how a command ends that could not give every code.
func unnamed(b *issue.Batch) error {
	switch {
	case b.Unnamed > 0 && b.Refused:
		return cli.Fail(cli.Refused, "%d more codes are needed: %s", b.Unnamed, b.Why)
	case b.Unnamed > 0:
		return cli.Fail(cli.Failed, "%d more codes are needed: %s", b.Unnamed, b.Why)
	}
	return nil
}

// print writes the code on a line of its own, and says beside it what it is about.
func (f *ticketFlags) print(c *cobra.Command, s *shownCode) {
	fmt.Fprintln(c.OutOrStdout(), s.Code)
	if f.qr {
		fmt.Fprintln(c.OutOrStdout(), strings.Join(s.QR, "\n"))
	}
	var what []string
	for _, l := range s.Lacks {
		what = append(what, l.String())
	}
	for _, span := range s.Safe {
		what = append(what, fmt.Sprintf("sequences %d to %d are safe", span.From, span.To))
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s for %s, tenant %s: %s (%d codes are left today)\n", s.Kind, s.Sender, s.Tenant, strings.Join(what, "; "), s.Left)
}

// askDesk asks the daemon, or does it where none runs: the lock is taken, and the person is who runs the command.
func askDesk[T any](ctx context.Context, conf Config, me person, in ticketRequest) (*T, error) {
	return cli.Ask(ctx, reader(conf), "ticket", in, func() (out *T, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) error {
			v, err := issued(ctx, s, in, issue.Peer{UID: me.uid, Name: me.name})
			if err == nil {
				out = v.(*T)
			}
			return err
		})
		return out, err
	})
}

// issued issues what was asked for, from the socket or from a command that holds the lock: an *issue.Issued for one bundle, else an *issue.Batch.
func issued(ctx context.Context, s *house.State, in ticketRequest, p issue.Peer) (v any, err error) {
	switch {
	case in.Receipt:
		v, err = s.Desk.Receipts(ctx, p, in.Sender, in.Tenant)
	case in.All:
		v, err = s.Desk.All(ctx, p)
	default:
		v, err = s.Desk.Ticket(ctx, p, in.Bundle)
	}
	e := audit.Entry{Event: "issued", Who: p.Name, Tenant: string(in.Tenant), Sender: string(in.Sender)}
	if e.Data, _ = json.Marshal(v); err != nil {
		e.Event, e.Text, e.Data = "issue-refused", err.Error(), nil
	}
	s.Audit.Tell(e)
	return v, answerable(err)
}

// drawn draws a code with half blocks, two rows of modules to a line, dark on light: what prints is the light, so that it can be read on a dark terminal.
func drawn(i *issue.Issued) (*shownCode, error) {
	code, err := qr.Encode(i.Code, qr.M)
	if err != nil {
		return nil, fmt.Errorf("draw the code: %w", err)
	}
	const quiet = 4 // modules of light around it, as the standard wants
	light := func(x, y int) bool { return y < code.Size+quiet && !code.Black(x, y) }
	s := &shownCode{Issued: i}
	for y := -quiet; y < code.Size+quiet; y += 2 {
		var line strings.Builder
		for x := -quiet; x < code.Size+quiet; x++ {
			switch up, down := light(x, y), light(x, y+1); {
			case up && down:
				line.WriteRune('█')
			case up:
				line.WriteRune('▀')
			case down:
				line.WriteRune('▄')
			default:
				line.WriteRune(' ')
			}
		}
		s.QR = append(s.QR, line.String())
	}
	return s, nil
}
