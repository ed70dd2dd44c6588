package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/examine"
	"ecluse/internal/policy"
)

// examineTimeout is how long one item may be looked at, whatever its size.
const examineTimeout = 24 * time.Hour

// examineName is the command by which a program starts its children. Nobody types it.
const examineName = "examine"

// Examiner starts children of the program that runs.
func Examiner() *examine.Runner {
	return &examine.Runner{Command: examine.Self(examineName), Timeout: examineTimeout}
}

// ExamineCommand is the whole life of a child.
func ExamineCommand() *cobra.Command {
	return &cobra.Command{
		Use: examineName, Short: "Look into content, as a child of the daemon", Args: cobra.NoArgs, Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if code := examine.Child(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()); code != 0 {
				return &Error{Code: code}
			}
			return nil
		},
	}
}

// policyFlags are what all policy commands are told.
type policyFlags struct {
	house  House
	config string
	json   bool
	tenant string
}

// PolicyCommand shows, tries, stops and starts what tenants may pass.
func PolicyCommand(h House) *cobra.Command {
	f := &policyFlags{house: h}
	c := &cobra.Command{
		Use: "policy COMMAND", Short: "Show and try what a tenant lets through, stop and start it",
		Example: fmt.Sprintf("  %s policy show --tenant cssf\n  %s policy test --tenant cssf update.tar\n  %s policy stop --tenant cssf --reason \"ticket 4711\"", h.Program, h.Program, h.Program),
		Long: `Show and try what a tenant lets through: policy: of the configuration says which names, types, sizes and archives its content may have, and what stands beside it who
owns the route, and until when. stop closes a route at once, without an editor; start opens it again.`,
	}
	c.PersistentFlags().StringVar(&f.config, "config", h.Default, "configuration `FILE`")
	_ = c.MarkPersistentFlagFilename("config", "yaml")
	c.PersistentFlags().BoolVar(&f.json, "json", false, "print one JSON value")
	c.AddCommand(f.showCommand(), f.testCommand(), f.sayCommand(true), f.sayCommand(false))
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

	Inspections []*Inspection `json:"inspections"` // of who looks at it beside the rules
}

// Failure implements Failing: what is not let in is a check that did not hold. What nobody knows anything of is not let in either, whatever the others say.
func (t *trial) Failure() error {
	found, unknown := len(t.Findings)+t.More, error(nil)
	for _, w := range t.Inspections {
		if found += len(w.Findings) + w.More; w.err != nil {
			unknown = w.err
		}
	}
	switch {
	case found > 0:
		return &Error{Code: Refused, Err: fmt.Errorf("tenant %s does not let it in: %d findings", t.Tenant, found)}
	case unknown != nil:
		return fmt.Errorf("tenant %s would hold it: %w", t.Tenant, unknown)
	}
	return nil
}

func (f *policyFlags) testCommand() *cobra.Command {
	all := false
	c := &cobra.Command{
		Use: "test [flags] PATH...", Short: "Hold files or directories against the rules of a tenant", Args: cobra.MinimumNArgs(1),
		Long: `Hold files or directories against policy: of a tenant, just as the daemon does with what is for it, and print what it does not let in. It changes nothing, and needs no daemon.
What stands in an archive is named behind "!": a/b.zip!c.txt.` + f.house.Tests,
		Example: fmt.Sprintf("  %s policy test update.tar\n  %s policy test --tenant cssf --json data/", f.house.Program, f.house.Program),
		RunE: func(c *cobra.Command, args []string) error {
			site, err := f.house.Load(f.config)
			if err != nil {
				return err
			}
			t, err := site.Tenants.named(f.tenant)
			if err != nil {
				return err
			}
			if !t.Policy.Given {
				return Fail(NotFound, "tenant %s has no policy: nothing is held against its content", t.Name)
			}
			asked, others := t.inspectors(all)
			if len(others) > 0 && !f.json {
				defer fmt.Fprintf(c.ErrOrStderr(), "%s: not asked without --inspectors: %s\n", f.house.Program, strings.Join(others, ", "))
			}
			return Each(c, args, f.json, func(ctx context.Context, path string) (*trial, error) {
				x, err := try(ctx, t.Name, t.Policy.Rules(), path, asked...)
				if err == nil && !f.json {
					x.print(c.OutOrStdout())
				}
				return x, err
			},
				func(w io.Writer, t *trial) {
					fmt.Fprintf(w, "%s: %d files, nothing that tenant %s does not let in\n", Quote(t.Path), t.Files, t.Tenant)
				})
		},
	}
	f.tenantFlag(c)
	if f.house.Tests != "" {
		c.Flags().BoolVar(&all, "inspectors", false, "have the tenant's inspectors look at it as well")
	}
	return c
}

func (f *policyFlags) tenantFlag(c *cobra.Command) {
	c.Flags().StringVar(&f.tenant, "tenant", "", "the `TENANT`; it may be left out where there is one")
}

// LetIn holds a path against a tenant's rules before anything is done with it, and tells what it does not let in. An error is that, or that the path could not be looked at.
func LetIn(ctx context.Context, w io.Writer, tenant string, rules *policy.Rules, path string) error {
	t, err := try(ctx, tenant, rules, path)
	if err != nil {
		return err
	}
	t.print(w)
	return t.Failure()
}

// print lists what was found, and by whom beside the rules.
func (t *trial) print(w io.Writer) {
	list := func(findings []policy.Finding) {
		for _, f := range findings {
			fmt.Fprintf(w, "%-16s  %s: %s\n", f.Reason, Quote(f.Path), Clean(f.Text))
		}
	}
	list(t.Findings)
	for _, said := range t.Inspections {
		list(said.Findings)
		for _, note := range said.Notes {
			fmt.Fprintf(w, "%-16s  %s\n", said.Inspector, Clean(note))
		}
		if said.err != nil {
			fmt.Fprintf(w, "%-16s  does not know: %s\n", said.Inspector, Clean(strings.TrimPrefix(said.err.Error(), said.Inspector+": ")))
		} else {
			fmt.Fprintf(w, "%-16s  %s (%s)\n", said.Inspector, *said.Verdict, Clean(said.Version))
		}
	}
}

// tryRoom is what may be put into the directory for temporary files while a path is looked at.
const tryRoom = 8 << 30

// try holds one path against the rules, in a child like the daemon's, and has others look at it. All are asked, whatever one of them says.
func try(ctx context.Context, tenant string, rules *policy.Rules, path string, others ...Inspector) (*trial, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Error{Code: NotFound, Err: err}
	}
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "ecluse-policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	report, err := Examiner().Run(ctx, examine.Job{Root: filepath.Dir(abs), Item: filepath.Base(abs), Scratch: scratch, Room: tryRoom, Rules: rules})
	if err != nil {
		return nil, err
	}
	t := &trial{path, tenant, report.Files, report.Bytes, report.Findings, report.More, []*Inspection{}}
	if t.Findings == nil {
		t.Findings = []policy.Finding{}
	}
	item := Item{Dir: filepath.Dir(abs), Name: filepath.Base(abs), Files: report.Files, Bytes: report.Bytes, Scratch: scratch, Room: tryRoom}
	for _, w := range others {
		t.Inspections = append(t.Inspections, w.ask(ctx, item))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return t, nil
}
