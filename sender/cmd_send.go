package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// sendFlags are what send is told.
type sendFlags struct {
	config, tenant, priority string
	wait, json               bool
}

func sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use: "send [flags] PATH...", Short: "Copy files or trees into an outbox, whole", Args: cobra.MinimumNArgs(1),
		Long: `Copy files or trees into an outbox and have each claimed at once, whole. PATH itself stays as it is. Without a running daemon the item waits in the outbox. --wait
shows how far it is, and ends when the last pass is out; that it arrived is known on the other side only.`,
		Example: `  ecluse-sender send register.csv
  ecluse-sender send --tenant cssf --priority urgent --wait update/`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(f.config)
			if err != nil {
				return err
			}
			s, err := newSubmission(c, conf, f)
			if err != nil {
				return err
			}
			return cli.Each(c, args, f.json, s.send, func(w io.Writer, r *submitted) {
				fmt.Fprintf(w, "%s  %s  %s\n", or(r.Bundle, "-"), r.State, cli.Quote(r.Name))
			})
		},
	}
	configFlag(c, &f.config)
	cli.JSONFlag(c, &f.json)
	c.Flags().StringVar(&f.tenant, "tenant", "", "for this `TENANT` (the only one where there is one)")
	c.Flags().StringVar(&f.priority, "priority", bundle.Normal.String(), "urgent, normal or bulk")
	c.Flags().BoolVar(&f.wait, "wait", false, "show progress until the last pass is out")
	_ = c.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions([]string{"urgent", "normal", "bulk"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func or(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}

// submission is one run of send.
type submission struct {
	conf     Config
	flags    sendFlags
	tenant   TenantConfig
	priority bundle.Class
	talk     io.Writer
}

// submitted is what send prints of one item.
type submitted struct {
	Bundle *string `json:"bundle"` // null while it waits in the outbox
	Tenant string  `json:"tenant"`
	Name   string  `json:"name"`
	State  string  `json:"state"`

	failure error
}

// Failure implements cli.Failing.
func (s *submitted) Failure() error { return s.failure }

func newSubmission(c *cobra.Command, conf Config, f sendFlags) (*submission, error) {
	s := &submission{conf: conf, flags: f, talk: c.ErrOrStderr()}
	var err error
	if s.priority, err = bundle.ParseClass(f.priority); err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: err}
	}
	if f.tenant == "" && len(conf.Tenants) > 1 {
		return nil, &cli.Error{Code: cli.Usage, Err: errors.New("for which tenant?"), Hint: "--tenant, one of: " + strings.Join(conf.shared().Names(), ", ")}
	}
	i := 0
	if f.tenant != "" {
		i = conf.tenant(f.tenant)
	}
	if i < 0 {
		return nil, cli.Fail(cli.NotFound, "there is no tenant %q", f.tenant)
	}
	s.tenant = conf.Tenants[i]
	return s, nil
}

// send copies one item under a hidden name, and then has it claimed under its own.
func (s *submission) send(ctx context.Context, path string) (*submitted, error) {
	if path == "" {
		return nil, cli.Fail(cli.Usage, "an empty path names nothing to send")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(abs)
	if name == "/" {
		return nil, cli.Fail(cli.Usage, "%s has no name under which it could travel", path)
	}
	if !utf8.ValidString(name) { // a request is JSON, which has no other text
		return nil, cli.Fail(cli.Refused, "%s is no valid UTF-8: under such a name nothing can travel; rename it", cli.Quote(name))
	}
	if config.Holds(abs, s.tenant.Outbox) {
		return nil, cli.Fail(cli.Refused, "%s holds the outbox %s: it would be copied into itself", cli.Quote(path), s.tenant.Outbox)
	}
	if p := &s.tenant.Policy; p.Given { // nobody has to wait for a "no" until the item's turn comes
		if err := cli.LetIn(ctx, s.talk, s.tenant.Name, p.Rules(), abs); err != nil {
			return nil, err
		}
	}
	hidden, err := outbox.Stage(ctx, disk.New(), abs, s.tenant.Outbox)
	if err != nil {
		return nil, stagingError(err, s.tenant.Outbox)
	}
	answer := cli.BundleRequest{}
	err = control.Call(ctx, s.conf.State, "send", sendRequest{s.tenant.Name, filepath.Base(hidden), name, s.priority}, &answer)
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		return s.leave(hidden, name)
	case err != nil:
		return nil, errors.Join(err, os.RemoveAll(hidden))
	}
	out := &submitted{Bundle: &answer.Bundle, Tenant: s.tenant.Name, Name: name, State: string(ledger.Waiting)}
	if !s.flags.wait {
		return out, nil
	}
	state, err := s.wait(ctx, answer.Bundle, name)
	out.State, out.failure = string(state), err
	return out, nil
}

func stagingError(err error, outbox string) error {
	if errors.Is(err, os.ErrNotExist) {
		return &cli.Error{Code: cli.NotFound, Err: err}
	}
	var at *fs.PathError
	if errors.Is(err, os.ErrPermission) && errors.As(err, &at) && strings.HasPrefix(at.Path, outbox) {
		return cli.WithHint(err, "operators of a tenant are in the group of its outbox")
	}
	return err
}

// leave puts an item into the outbox under its own name, for the daemon to find when it starts.
func (s *submission) leave(hidden, name string) (*submitted, error) {
	if s.priority != bundle.Normal || s.flags.wait {
		err := s.conf.service().Absent("it is needed for --priority and --wait")
		return nil, errors.Join(err, os.RemoveAll(hidden))
	}
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".part") || strings.HasSuffix(name, ".tmp") {
		err := s.conf.service().Absent("under the name %s it would leave the item alone", cli.Quote(name))
		return nil, errors.Join(err, os.RemoveAll(hidden))
	}
	here := disk.New()
	if err := outbox.Place(here, hidden, filepath.Join(s.tenant.Outbox, name)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(hidden))
	}
	if err := here.SyncAll(s.tenant.Outbox); err != nil {
		return nil, fmt.Errorf("put into the outbox: %w", err)
	}
	fmt.Fprintln(s.talk, "The daemon is not running; it takes this up when it starts.")
	return &submitted{Tenant: s.tenant.Name, Name: name, State: string(ledger.Waiting)}, nil
}

// waitEvery is the time between two looks.
const waitEvery = 250 * time.Millisecond

// wait shows how far a bundle is, until its last pass is out or it has failed.
func (s *submission) wait(ctx context.Context, id, name string) (ledger.State, error) {
	bar := cli.NewBar(s.talk)
	defer bar.End()
	for {
		var a progressAnswer
		if err := control.Call(ctx, s.conf.State, "progress", cli.BundleRequest{Bundle: id}, &a); err != nil {
			return ledger.Waiting, cli.WithHint(err, "the item is safe: ecluse-sender show %s", id)
		}
		r := a.Record
		done, total := a.sofar()
		bar.Show(time.Now(), name, done, total)
		switch {
		case r.State == ledger.Failed:
			return r.State, cli.Fail(cli.Failed, "failed: %s", or(r.Reason, "no reason is known"))
		case r.State.Final():
			return r.State, nil
		}
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			return r.State, cli.WithHint(ctx.Err(), "it goes on without you: ecluse-sender show %s", id)
		}
	}
}

// sofar is how many bytes are out, and how many are to go out in all passes: -1 while that is not known.
func (a *progressAnswer) sofar() (done, total int64) {
	if a.Record.Bytes == nil {
		return 0, -1
	}
	bytes, passes := *a.Record.Bytes, int64(max(a.Passes, a.Record.PassesDone))
	return min(bytes*passes, bytes*int64(a.Record.PassesDone)+a.Bytes), bytes * passes
}
