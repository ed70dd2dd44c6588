package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/examine"
	"ecluse/internal/policy"
)

// inspectTimeout is how long one bundle may be looked at, whatever its size.
const inspectTimeout = 24 * time.Hour

// examineName is the command by which the daemon starts its children. Nobody types it.
const examineName = "examine"

func inspector() *examine.Runner {
	return &examine.Runner{Command: examine.Self(examineName), Timeout: inspectTimeout}
}

func examineCommand() *cobra.Command {
	return &cobra.Command{
		Use: examineName, Short: "Look into content, as a child of the daemon", Args: cobra.NoArgs, Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if code := examine.Child(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()); code != 0 {
				return &cli.Error{Code: code}
			}
			return nil
		},
	}
}

func policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "policy COMMAND", Short: "Try a tenant's rules", Example: "  ecluse-receiver policy test --tenant cssf update.tar",
		Long: `Try what a tenant lets in: policy: of the configuration says which names, types, sizes and archives its content may have.`,
	}
	var path string
	var asJSON bool
	c.PersistentFlags().StringVar(&path, "config", defaultPath, "configuration `FILE`")
	_ = c.MarkPersistentFlagFilename("config", "yaml")
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON value")
	c.AddCommand(policyTestCommand(&path, &asJSON))
	return c
}

// trial is what policy test prints of one path.
type trial struct {
	Path     string           `json:"path"`
	Tenant   string           `json:"tenant"`
	Files    int64            `json:"files"`
	Bytes    int64            `json:"bytes"`
	Findings []policy.Finding `json:"findings"`
	More     int              `json:"more"`
}

// Failure implements cli.Failing: what is not let in is a check that did not hold.
func (t *trial) Failure() error {
	if len(t.Findings) == 0 {
		return nil
	}
	return &cli.Error{Code: cli.Refused, Err: fmt.Errorf("tenant %s does not let it in: %d findings", t.Tenant, len(t.Findings)+t.More)}
}

func policyTestCommand(path *string, asJSON *bool) *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use: "test [flags] PATH...", Short: "Hold files or directories against the rules of a tenant", Args: cobra.MinimumNArgs(1),
		Long: `Hold files or directories against policy: of a tenant, just as what arrives for it is, and print what it does not let in. It changes nothing, and needs no daemon. What stands in an
archive is named behind "!": a/b.zip!c.txt.`,
		Example: `  ecluse-receiver policy test update.tar
  ecluse-receiver policy test --tenant cssf --json data/`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(*path)
			if err != nil {
				return err
			}
			t, err := tenantNamed(conf, tenant)
			if err != nil {
				return err
			}
			if !t.Policy.Given {
				return cli.Fail(cli.NotFound, "tenant %s has no policy: nothing is held against its content", t.Name)
			}
			scratch, err := os.MkdirTemp("", "ecluse-policy-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(scratch)
			return cli.Each(c, args, *asJSON, func(ctx context.Context, path string) (*trial, error) {
				return try(ctx, t, scratch, path, c.OutOrStdout(), *asJSON)
			},
				func(w io.Writer, t *trial) {
					fmt.Fprintf(w, "%s: %d files, nothing that tenant %s does not let in\n", cli.Quote(t.Path), t.Files, t.Tenant)
				})
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "the `TENANT`; it may be left out where there is one")
	return c
}

func tenantNamed(conf Config, name string) (*TenantConfig, error) {
	if name == "" && len(conf.Tenants) > 1 {
		return nil, cli.Fail(cli.Usage, "there are %d tenants: say which, with --tenant", len(conf.Tenants))
	}
	for i := range conf.Tenants {
		if t := &conf.Tenants[i]; name == "" || t.Name == name {
			return t, nil
		}
	}
	return nil, cli.Fail(cli.NotFound, "no tenant is called %q", name)
}

// try holds one path against the rules, in a child like the daemon's.
func try(ctx context.Context, t *TenantConfig, scratch, path string, out io.Writer, asJSON bool) (*trial, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &cli.Error{Code: cli.NotFound, Err: err}
	}
	if err != nil {
		return nil, err
	}
	report, err := inspector().Run(ctx, examine.Job{Root: filepath.Dir(abs), Item: filepath.Base(abs), Scratch: scratch, Room: 8 << 30, Rules: t.Policy.Rules()})
	if err != nil {
		return nil, err
	}
	x := &trial{path, t.Name, report.Files, report.Bytes, report.Findings, report.More}
	if x.Findings == nil {
		x.Findings = []policy.Finding{}
	}
	for _, f := range x.Findings {
		if !asJSON {
			fmt.Fprintf(out, "%-16s  %s: %s\n", f.Reason, cli.Quote(f.Path), cli.Clean(f.Text))
		}
	}
	return x, nil
}
