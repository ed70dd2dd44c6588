package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

func approveCommand() *cobra.Command {
	c := decideCommand(true)
	c.Use, c.Short = "approve [flags] BUNDLE...", "Release bundles from quarantine"
	c.Long = `Release bundles from quarantine. Each is verified once more before it counts: what no longer holds is refused for good. A tenant with release: two needs two
different people. What is released is delivered by the daemon; until that has worked it stays approved.` + signedLong
	c.Example = `  ecluse-receiver approve --reason "ticket 4711" 3f7k2q
  ecluse-receiver approve --key ~/.ssh/id_ed25519 --reason "ticket 4711" 3f7k2q
  ecluse-receiver approve --print --reason "ticket 4711" 3f7k2q > decision       # carry it to where the key is, and there:
  ssh-keygen -Y sign -f KEY -n release@ecluse decision                           # makes decision.sig; carry both back
  ecluse-receiver approve --signature decision.sig 3f7k2q`
	return c
}

func rejectCommand() *cobra.Command {
	c := decideCommand(false)
	c.Use, c.Short = "reject [flags] BUNDLE...", "Reject bundles in quarantine"
	c.Long = `Reject bundles that are in quarantine, or approved and not delivered yet. It is final. The content stays for keep.rejected, the papers as long as the row.

What is damaged, or missing (named by [SENDER/]TENANT/SEQUENCE), is given up: nobody waits for it any more, and the alarm ends.` + signedLong
	c.Example = `  ecluse-receiver reject --reason "wrong register" 3f7k2q
  ecluse-receiver reject --reason "removed on the low side" default/4711`
	return c
}

const signedLong = `

Where the configuration names officers, a decision is a signature by an officer's key: the one of --key, of an ssh-agent (--agent), of $ECLUSE_KEY, of officer_key in the configuration, or
the one officer's key that the ssh-agent holds, in that order. --print writes the text that is to be signed instead, and --signature brings a signature that was made elsewhere.`

// noReason stands in the record of a rejection for which none was given: every rejection has one.
const noReason = "no reason was given"

// decision is what the flags of approve and reject say.
type decision struct {
	approve, print bool
	override       string // the reason for which it is flagged, that is known of; whichever, for whichever it is
	reason         string
	pen            pen
}

// whichever is --override without a reason.
const whichever = "whichever it is"

func decideCommand(approve bool) *cobra.Command {
	d := decision{approve: approve}
	var path string
	var asJSON bool
	c := &cobra.Command{
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeBundles(&path),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			if (d.print || d.pen.signature != "") && len(args) > 1 {
				return cli.Fail(cli.Usage, "one signature is for one bundle, and %d are named", len(args))
			}
			if !approve && d.reason == "" {
				d.reason = noReason
			}
			if d.print {
				return printStatement(c, conf, d, args[0])
			}
			me := person{uint32(os.Getuid()), cli.UserName()}
			return cli.Each(c, args, asJSON,
				func(ctx context.Context, text string) (*decisionAnswer, error) { return d.about(ctx, conf, me, text) },
				func(w io.Writer, a *decisionAnswer) { printDecision(w, a) })
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	f := c.Flags()
	f.StringVar(&d.reason, "reason", "", "why, for the record: `TEXT`")
	f.StringVar(&d.pen.key, "key", "", "sign with this private key `FILE`, or with the agent's key that belongs to a .pub file")
	f.BoolVar(&d.pen.agent, "agent", false, "sign with the officer's key that the ssh-agent holds")
	f.BoolVar(&d.print, "print", false, "print the text to sign, and decide nothing")
	f.StringVar(&d.pen.signature, "signature", "", "a signature that was made elsewhere: `FILE`; the text that it is of is sought beside it, without .sig")
	if approve {
		f.StringVar(&d.override, "override", "", "release what is flagged, where the tenant allows it, for this `REASON` alone where one is named (--override=policy-type); needs --reason")
		f.Lookup("override").NoOptDefVal = whichever
	}
	c.MarkFlagsMutuallyExclusive("key", "agent", "print", "signature")
	_ = c.MarkFlagFilename("key")
	_ = c.MarkFlagFilename("signature")
	return c
}

// statement asks for the text that the decision is. What comes is held against what was asked for: nobody signs another.
func (d *decision) statement(ctx context.Context, conf Config, text string) (*statement, *bundle.Decision, error) {
	in := statementRequest{Bundle: text, Approve: d.approve, Reason: d.reason, Override: d.override != ""}
	s, err := cli.Ask(ctx, reader(conf), "statement", in, func() (out *statement, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) (err error) {
			out, err = statementOf(ctx, s, in)
			return err
		})
		return out, err
	})
	if err != nil {
		return nil, nil, err
	}
	what, err := bundle.ParseDecision([]byte(s.Document))
	if err != nil {
		return nil, nil, err
	}
	return s, what, d.suits(what, text)
}

// suits holds the text of a decision against what was asked for.
func (d *decision) suits(what *bundle.Decision, text string) error {
	switch {
	case d.approve != (what.Verb == bundle.VerbApprove):
		return cli.Fail(cli.Refused, "the text is one to %s", what.Verb)
	case what.Reason != d.reason:
		return cli.Fail(cli.Refused, "the text gives another reason: %q", what.Reason)
	case !named(what, text):
		return cli.Fail(cli.Refused, "the text is about another bundle")
	case d.override != "" && d.override != whichever && d.override != string(what.Override):
		return cli.Fail(cli.Refused, "it is flagged for %s, and --override is for %s: look again (show)", cmp.Or(string(what.Override), "nothing"), d.override)
	}
	return nil
}

func printStatement(c *cobra.Command, conf Config, d decision, text string) error {
	s, _, err := d.statement(c.Context(), conf, text)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.OutOrStdout(), s.Document)
	return err
}

// about decides about one bundle: it asks the daemon, or decides where none runs, under the lock; the person is then who runs the command.
func (d *decision) about(ctx context.Context, conf Config, me person, text string) (*decisionAnswer, error) {
	if err := d.pen.read(d, text); err != nil {
		return nil, err
	}
	s, what, err := d.statement(ctx, conf, text)
	if err != nil {
		return nil, err
	}
	in := decisionRequest{Bundle: text, Approve: d.approve, Reason: d.reason, Override: what.Override}
	if s.Signed || d.pen.signature != "" {
		if in.Signature, err = d.pen.sign(conf, []byte(s.Document)); err != nil {
			return nil, err
		}
	}
	return cli.Ask(ctx, reader(conf), "decide", in, func() (out *decisionAnswer, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) (err error) {
			out, err = decide(ctx, s, in, me.uid, me.name)
			return err
		})
		return out, err
	})
}

// person is who runs the command, asked before it acts as the state's owner.
type person struct {
	uid  uint32
	name string
}

func printDecision(w io.Writer, a *decisionAnswer) {
	note := ""
	if a.State == ledger.Quarantined {
		note = fmt.Sprintf("  (%d more must approve)", a.Missing)
	}
	if a.Override != "" {
		note += "  although flagged: " + string(a.Override)
	}
	fmt.Fprintf(w, "%s  %s  %s%s\n", a.Bundle, a.State, cli.Or(a.Name), note)
}
