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

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

// inspectRequest asks for one bundle to be looked at again, or notes that what was found in it was seen.
type inspectRequest struct {
	Bundle string `json:"bundle"`
	Force  bool   `json:"force"` // by everybody, also where nothing is newer
	Seen   bool   `json:"seen"`
}

// inspectAnswer is what became of it.
type inspectAnswer struct {
	Bundle  bundle.ID       `json:"bundle"`
	Name    *string         `json:"name"`
	State   ledger.State    `json:"state"`
	Verdict *ledger.Verdict `json:"verdict"`
	Reason  *string         `json:"reason"`
	Detail  string          `json:"detail"`
	Asked   []string        `json:"asked"` // who looked
	Seen    bool            `json:"seen"`  // that was asked for, and is on record
	Known   bool            `json:"known"` // it is flagged and delivered, and somebody has seen that
	Error   string          `json:"error"` // why somebody did not look; what the others said is on record

	passing bool // what is known is no failure: a timer is to tell what is new
}

// Failure implements cli.Failing.
func (a *inspectAnswer) Failure() error {
	switch {
	case a.Seen, a.passing && a.Known && a.Error == "":
		return nil
	case a.Verdict != nil && *a.Verdict == ledger.Flagged:
		text := a.Detail
		if a.Reason != nil {
			text = *a.Reason + ": " + text
		}
		if !a.Known && (a.State == ledger.Imported || a.State == ledger.Approved) {
			text += fmt.Sprintf(" (it is %s: inspect --seen %s, when it was dealt with, ends the alarm)", a.State, a.Bundle)
		}
		return cli.Fail(cli.Refused, "%s, flagged: %s", a.State, text)
	case a.Error != "":
		return cli.Fail(cli.Failed, "%s: %s", a.State, a.Error)
	}
	return nil
}

func inspectCommand() *cobra.Command {
	var path string
	var asJSON, all, force, seen bool
	c := &cobra.Command{
		Use: "inspect [flags] (BUNDLE... | --all)", Short: "Look again into bundles, when rules or signatures are newer", ValidArgsFunction: completeBundles(&path),
		Long: `Have bundles looked into again by the tenant's rules and inspectors: by those of which rules or signatures are newer than what they said, or with --force by all. That is done of what is quarantined,
approved, or imported and still kept (keep.imported). What is flagged and not delivered yet goes back into quarantine; what is imported stays so, and is an alarm until somebody says, with --seen,
that it was dealt with: who did is on record. --all is for a timer, after new signatures have come: it ends with 0 where there is nothing to look at, and where all that is flagged was delivered and seen.

Exit code 4 says that something is flagged.`,
		Example: `  ecluse-receiver inspect --all
  ecluse-receiver inspect --force 3f7k2q
  ecluse-receiver inspect --seen 3f7k2q`,
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) || all && seen || force && seen {
				return errors.New("name bundles as arguments, or give --all; --seen goes with neither --all nor --force")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			tell := cli.Each[*inspectAnswer]
			if all {
				tell = cli.All[*inspectAnswer]
				if args, err = lookable(c.Context(), conf); err != nil {
					return err
				}
			}
			me := person{uint32(os.Getuid()), cli.UserName()}
			return tell(c, args, asJSON, func(ctx context.Context, text string) (*inspectAnswer, error) {
				a, err := inspectBundle(ctx, conf, me, inspectRequest{Bundle: text, Force: force, Seen: seen})
				if err == nil {
					a.passing = all
				}
				return a, err
			}, printInspected)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().BoolVar(&all, "all", false, "everything that can be looked at")
	c.Flags().BoolVar(&force, "force", false, "by everybody, also where nothing is newer")
	c.Flags().BoolVar(&seen, "seen", false, "what was found after the delivery was dealt with: end the alarm")
	return c
}

func printInspected(w io.Writer, a *inspectAnswer) {
	by := "nothing is newer"
	switch {
	case a.Seen:
		by = "seen"
	case len(a.Asked) > 0:
		by = "by " + strings.Join(a.Asked, ", ")
	}
	fmt.Fprintf(w, "%s  %s  %s  %s  (%s)\n", a.Bundle, cli.Or(a.Verdict), a.State, cli.Or(a.Name), by)
}

// lookable asks which bundles can be looked at.
func lookable(ctx context.Context, conf Config) ([]string, error) {
	list, err := cli.Ask(ctx, reader(conf), "lookable", struct{}{}, func() (out *[]string, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) error {
			list, err := lookableOf(ctx, s)
			out = &list
			return err
		})
		return out, err
	})
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func lookableOf(ctx context.Context, s *house.State) ([]string, error) {
	ids, err := s.Chamber.Lookable(ctx)
	list := []string{}
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list, err
}

// inspectBundle asks the daemon, or does it where none runs.
func inspectBundle(ctx context.Context, conf Config, me person, in inspectRequest) (*inspectAnswer, error) {
	return cli.Ask(ctx, reader(conf), "inspect", in, func() (out *inspectAnswer, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) (err error) {
			out, err = inspected(ctx, s, in, me.uid, me.name)
			return err
		})
		return out, err
	})
}

// inspected does what was asked for, from the socket or from a command that holds the lock.
func inspected(ctx context.Context, s *house.State, in inspectRequest, uid uint32, who string) (*inspectAnswer, error) {
	id, err := s.Ledger.Find(ctx, in.Bundle)
	if err != nil {
		return nil, answerable(err)
	}
	a := &inspectAnswer{Asked: []string{}}
	var r *ledger.Record
	if in.Seen {
		r, err = s.Chamber.See(id, ledger.Sight{Who: who, UID: uid, At: s.Clock.Now().UTC()})
		a.Seen = true
	} else {
		var looked *chamber.Looked
		if looked, err = s.Chamber.Look(ctx, id, in.Force); looked != nil {
			r = looked.Record
			a.Asked = append(a.Asked, looked.Asked...)
			if err != nil {
				a.Error, err = err.Error(), nil
			}
		}
	}
	if err != nil {
		return nil, answerable(err)
	}
	a.Known = r.Unseen() == nil && r.State != ledger.Quarantined && r.Verdict != nil && *r.Verdict == ledger.Flagged
	a.Bundle, a.Name, a.State, a.Verdict, a.Reason, a.Detail = r.Bundle, r.Name, r.State, r.Verdict, r.Reason, r.Detail
	return a, nil
}

// handleInspect registers what commands may ask for of inspections.
func (d *daemon) handleInspect(s *control.Server) {
	s.Handle("lookable", member(viewGroup, releaseGroup), false, func(ctx context.Context, _ control.Peer, _ json.RawMessage) (any, error) {
		return lookableOf(ctx, d.State)
	})
	s.Handle("inspect", member(releaseGroup), true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
		var in inspectRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		return inspected(ctx, d.State, in, p.UID, p.Name())
	})
}
