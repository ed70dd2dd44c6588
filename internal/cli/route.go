package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
)

// routeRequest is what policy stop and policy start ask a daemon for. Tenant is null for all.
type routeRequest struct {
	Tenant *string `json:"tenant"`
	Stop   bool    `json:"stop"`
	Reason string  `json:"reason"`
}

// Word is what the peer says, under a name of its own.
func (r *routeRequest) Word(who string, uid uint32) route.Word {
	w := route.Word{Tenant: route.All, Stopped: r.Stop, Who: who, UID: uid, Reason: r.Reason}
	if r.Tenant != nil {
		w.Tenant = bundle.Name(*r.Tenant)
	}
	return w
}

// named says whether a request that names a tenant has a name in it: none would be all.
func (r *routeRequest) named() error {
	if r.Tenant != nil && *r.Tenant == "" {
		return &control.Error{Code: Usage, Text: "the tenant has no name: null is all"}
	}
	return nil
}

// check is an error for a request about a tenant that is not there.
func (r *routeRequest) check(tenants Tenants) error {
	if r.Tenant == nil {
		return nil
	}
	_, err := tenants.named(*r.Tenant)
	return err
}

// routeAnswer is what became of it: the word that counts now.
type routeAnswer struct {
	Tenant  *string   `json:"tenant"`
	Stopped bool      `json:"stopped"`
	Who     string    `json:"who"`
	UID     uint32    `json:"uid"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Still   *string   `json:"still"` // why nothing goes through all the same
}

// answered makes an answer of what a book has said.
func answered(by route.Word, still string, err error) (*routeAnswer, error) {
	if err != nil {
		return nil, routeError(err)
	}
	a := &routeAnswer{Stopped: by.Stopped, Who: by.Who, UID: by.UID, At: by.At, Reason: by.Reason}
	if by.Tenant != route.All {
		name := string(by.Tenant)
		a.Tenant = &name
	}
	if still != "" {
		a.Still = &still
	}
	return a, nil
}

func routeError(err error) error {
	var text *route.TextError
	var none *route.NotStopped
	switch {
	case errors.As(err, &text):
		return &control.Error{Code: Usage, Text: err.Error()}
	case errors.As(err, &none):
		return &control.Error{Code: NotFound, Text: err.Error()}
	}
	return err
}

// HandleRoutes registers what policy show, stop and start ask a daemon for. may says whether a peer may say a word; changed is called when one was said that holds.
func HandleRoutes(s *control.Server, b *route.Book, view, people control.Allow, may func(control.Peer, route.Word) error, now func() time.Time, changed func(route.Word)) {
	s.Handle("routes", view, false, func(context.Context, control.Peer, json.RawMessage) (any, error) {
		if err := b.Fault(); err != nil {
			return nil, err
		}
		return b.Words(), nil
	})
	s.Handle("route", people, true, func(_ context.Context, p control.Peer, m json.RawMessage) (any, error) {
		var in routeRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		if err := in.named(); err != nil {
			return nil, err
		}
		w := in.Word(p.Name(), p.UID)
		// Or whoever may say a word fills the file with names.
		if _, said := b.Word(w.Tenant); w.Tenant != route.All && !said && !slices.Contains(b.Tenants(), w.Tenant) {
			return nil, &control.Error{Code: NotFound, Text: fmt.Sprintf("no tenant is called %q", w.Tenant)}
		}
		if err := may(p, w); err != nil {
			return nil, err
		}
		at := now().UTC()
		by, still, err := b.Say(w, at)
		var text *route.TextError
		if (err == nil || w.Stopped && !errors.As(err, &text)) && by.At.Equal(at) { // a stop that could not be written down holds; a word that was not taken, and one that was said before, are no news
			changed(by)
		}
		return answered(by, still, err)
	})
}

// sayCommand is policy stop, or policy start.
func (f *policyFlags) sayCommand(stop bool) *cobra.Command {
	var all bool
	var reason, state string
	c := &cobra.Command{
		Use: "start [flags]", Short: "Open a route that was stopped", Args: cobra.NoArgs,
		Long: `Open a route that was stopped by policy stop: of one tenant, or what was stopped with --all. What was held goes on. A tenant that was stopped by name stays so until it is started by
name; enabled: and expires: of the configuration hold besides.`,
		Example: fmt.Sprintf("  %s policy start --tenant cssf\n  %s policy start --all", f.house.Program, f.house.Program),
	}
	if stop {
		c.Use, c.Short = "stop [flags] --reason TEXT", "Close a route at once"
		c.Long = `Close the route of a tenant, or of all, at once and until policy start: nothing more of it goes through, and what waits is held. It is kept in the state, with who and why, and outlives
restarts. It works without a daemon, too; then it holds from the next start on.`
		c.Example = fmt.Sprintf("  %s policy stop --tenant cssf --reason \"ticket 4711\"\n  %s policy stop --all --reason \"the diode is being replaced\"", f.house.Program, f.house.Program)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		reader, tenants, err := f.load(state)
		if err != nil {
			return err
		}
		in := routeRequest{Stop: stop, Reason: reason}
		switch {
		case all && f.tenant != "":
			return Fail(Usage, "--all and --tenant want different things: take one of them")
		case !all && f.tenant == "":
			return Fail(Usage, "say which: --tenant TENANT, or --all")
		case !all:
			in.Tenant = &f.tenant
		}
		if err := in.check(tenants); err != nil && state == "" {
			return err
		}
		a, err := f.say(c.Context(), reader, tenants, in)
		if err != nil {
			return err
		}
		if f.json {
			return PrintJSON(c.OutOrStdout(), a)
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), a)
		return err
	}
	c.Flags().StringVar(&f.tenant, "tenant", "", "of this `TENANT`")
	c.Flags().BoolVar(&all, "all", false, "of all tenants, also of those that are configured later")
	c.Flags().StringVar(&reason, "reason", "", "why, for the record: `TEXT`")
	c.Flags().StringVar(&state, "state", "", "the state's `DIRECTORY`: then no configuration is read, and the tenant is taken as it is written")
	return c
}

// load reads the configuration, or does without one where the state is given: a file that somebody is at work on must not keep a route open.
func (f *policyFlags) load(state string) (Reader, Tenants, error) {
	if state != "" {
		return Reader{State: state, Service: Service{Program: f.house.Program, Config: f.config, Installed: f.house.Default, State: state}}, nil, nil
	}
	site, err := f.house.Load(f.config)
	if err != nil {
		err = WithHint(err, "with --state DIRECTORY no configuration is read")
	}
	return site.Reader, site.Tenants, err
}

// say asks the daemon, or says it where none runs: as the state's owner, in the name of who runs the command.
func (f *policyFlags) say(ctx context.Context, r Reader, tenants Tenants, in routeRequest) (*routeAnswer, error) {
	word := in.Word(UserName(), uint32(os.Getuid()))
	return Ask(ctx, r, "route", in, func() (*routeAnswer, error) {
		if err := BecomeOwner(r.State); err != nil {
			return nil, err
		}
		return answered(f.house.Say(r.State, disk.New(), tenants.Routes(), word))
	})
}

// String is the answer in one line, and one more where that is not all.
func (a *routeAnswer) String() string {
	who, what := "all tenants", "started"
	if a.Tenant != nil {
		who = "tenant " + *a.Tenant
	}
	if a.Stopped {
		what = "stopped"
	}
	text := fmt.Sprintf("%s: %s by %s (uid %d), %s", who, what, Quote(a.Who), a.UID, Local(&a.At))
	if a.Reason != "" {
		text += ": " + Clean(a.Reason)
	}
	if a.Still != nil {
		text += "\nnothing goes through all the same: " + Clean(*a.Still)
	}
	return text
}
