package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/alarm"
	"ecluse/internal/config"
)

// Main runs a program, and is the only one that ends the process.
func Main(run func(ctx context.Context, args []string, s Streams) int) {
	ending := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // a lost terminal: what was begun is put away, unless nohup says otherwise
		ending = append(ending, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ending...)
	code := run(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// Load reads a configuration; what is wrong with it ends a command as usage.
func Load[T any](path string, defaults T) (T, error) {
	conf, err := config.Load(path, defaults)
	if err != nil {
		return conf, &Error{Code: Usage, Err: err}
	}
	return conf, nil
}

// ConfigFlag adds --config to a command.
func ConfigFlag(c *cobra.Command, path *string, otherwise string) {
	c.Flags().StringVar(path, "config", otherwise, "configuration `FILE`")
	_ = c.MarkFlagFilename("config", "yaml")
}

// JSONFlag adds --json to a command.
func JSONFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print one JSON value")
}

// VersionCommand prints a program's version.
func VersionCommand(program, version, config string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version [flags]", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  " + program + " version --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return PrintJSON(c.OutOrStdout(), map[string]any{"program": program, "version": version})
			}
			_, err := io.WriteString(c.OutOrStdout(), program+" "+version+"\n")
			return err
		},
	}
	JSONFlag(c, &asJSON)
	c.Flags().String("config", config, "taken, as everywhere, and not read")
	_ = c.Flags().MarkHidden("config")
	return c
}

// ListFlags are what list selects by.
type ListFlags struct {
	State, Tenant, since string
	Limit                int
}

// Add adds the flags to a command. since says what --since is the time of.
func (f *ListFlags) Add(c *cobra.Command, states []string, since string) {
	c.Flags().StringVar(&f.State, "state", "", "only this `STATE`: "+strings.Join(states, ", "))
	c.Flags().StringVar(&f.Tenant, "tenant", "", "only this `TENANT`")
	c.Flags().StringVar(&f.since, "since", "", "only what was "+since+" since `TIME`: 24h, 7d, or an RFC 3339 time")
	c.Flags().IntVar(&f.Limit, "limit", 0, "only the newest `N`; 0 for all")
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp))
}

// Check holds the flags against the tenants that there are, and gives the time of --since.
func (f *ListFlags) Check(tenants []string, now time.Time) (since time.Time, err error) {
	if f.Limit < 0 {
		return since, Fail(Usage, "--limit %d is below 0", f.Limit)
	}
	if since, err = Since(f.since, now); err != nil {
		return since, err
	}
	return since, HasTenant(tenants, f.Tenant)
}

// HasTenant is an error for a tenant that is not there; "" is all of them.
func HasTenant(tenants []string, name string) error {
	if name != "" && !slices.Contains(tenants, name) {
		return Fail(NotFound, "there is no tenant %q", name)
	}
	return nil
}

// NoWatchJSON refuses two flags that want different things.
func NoWatchJSON(watch, asJSON bool) error {
	if watch && asJSON {
		return Fail(Usage, "--watch draws for people, and --json prints one value: take one of them")
	}
	return nil
}

// TellStatus ends status: alarms first in text, and their exit code.
func TellStatus[S any](c *cobra.Command, asJSON bool, s S, alarms alarm.List, print func(io.Writer, S) error) error {
	w := c.OutOrStdout()
	if asJSON {
		if err := PrintJSON(w, s); err != nil {
			return err
		}
	} else {
		for _, a := range alarms {
			fmt.Fprintf(w, "ALARM %s: %s\n", a.Name, Clean(a.Text))
		}
		if err := print(w, s); err != nil {
			return err
		}
	}
	if len(alarms) > 0 {
		return &Error{Code: Failed}
	}
	return nil
}

// Counts shows how many bundles are in each state, in an order.
func Counts[T ~string](counts map[T]int64, order []T) string {
	var list []string
	for _, state := range order {
		if n := counts[state]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
