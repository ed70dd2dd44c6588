package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

func showCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "show [flags] BUNDLE...", Short: "Show all that is known of bundles", Args: cobra.MinimumNArgs(1),
		Long: `Show all that is known of bundles: who sent them, what was found, who decided what, where they went; and the commands with which anybody checks them with
OpenSSH and coreutils alone. A BUNDLE may be cut to 6 characters.`,
		Example:           "  ecluse-receiver show 3f7k2q",
		ValidArgsFunction: completeBundles(&path),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			return cli.Each(c, args, asJSON, func(ctx context.Context, text string) (*shown, error) { return readShown(ctx, conf, text) },
				func(w io.Writer, s *shown) { printRecord(w, conf, s) })
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

// shown is a bundle, and what it waits for where it is approved and its daemon runs.
type shown struct {
	*ledger.Record
	Waits []chamber.Wait `json:"waits"` // null where that is not known, or nothing
}

func readShown(ctx context.Context, conf Config, text string) (*shown, error) {
	r, err := readRecord(ctx, conf, text)
	if err != nil {
		return nil, err
	}
	s := &shown{Record: r}
	if r.State == ledger.Approved {
		s.Waits = askWaits(ctx, conf, []string{r.Bundle.String()})[r.Bundle.String()]
	}
	return s, nil
}

// readRecord finds one bundle and reads its record, or asks the daemon.
func readRecord(ctx context.Context, conf Config, text string) (*ledger.Record, error) {
	return cli.One(ctx, reader(conf), text, func(db *sql.DB) (*ledger.Record, error) {
		id, err := ledger.Find(ctx, db, text)
		if err != nil {
			return nil, answerable(err)
		}
		r, err := ledger.ReadRecord(disk.New(), conf.State, id)
		if errors.Is(err, ledger.ErrNotFound) {
			return ledger.FromCatalog(ctx, db, id)
		}
		return r, err
	})
}

func printRecord(w io.Writer, conf Config, s *shown) {
	r := s.Record
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%-12s%s\n", key, fmt.Sprintf(format, args...)) }
	line("bundle", "%s", r.Bundle)
	line("name", "%s", cli.Or(r.Name))
	line("state", "%s", r.State)
	line("verdict", "%s", cli.Or(r.Verdict))
	line("reason", "%s", cli.Or(r.Reason))
	if r.Detail != "" {
		line("", "%s", cli.Clean(r.Detail))
	}
	line("tenant", "%s%s", r.Tenant, conf.people(r.Tenant))
	line("sender", "%s, epoch %s, sequence %s", r.Sender, r.Epoch, cli.Number(r.Sequence))
	if r.Key != "" {
		line("key", "%s", r.Key)
	}
	line("content", "%s files, %s", cli.Number(r.Files), cli.Size(r.Bytes))
	if r.MissingBytes != nil && *r.MissingBytes > 0 {
		line("missing", "%s", cli.Size(r.MissingBytes))
	}
	line("created", "%s", cli.Local(r.Created))
	line("received", "%s", cli.Local(r.Received))
	for _, n := range r.Inspections {
		line("inspected", "by %s (%s), %s: %s, %d files%s", n.Inspector, cli.Clean(n.Version), cli.Local(&n.At), n.Verdict, n.Files, signaturesOf(&n))
		for _, f := range n.Findings {
			line("", "%s: %s: %s", f.Reason, cli.Quote(f.Path), cli.Clean(f.Text))
		}
		if n.More > 0 {
			line("", "and %d more", n.More)
		}
		if n.Seen != nil {
			line("", "seen by %s (uid %d), %s", cli.Quote(n.Seen.Who), n.Seen.UID, cli.Local(&n.Seen.At))
		}
		for _, s := range n.Signers {
			line("", "%s has signed %d files (%s)", cli.Quote(s.Principal), s.Files, s.Key)
		}
	}
	for _, d := range r.Decisions {
		printDecided(line, d)
	}
	for _, d := range r.Deliveries {
		switch {
		case d.Done != nil:
			line("delivered", "%s/%s, %s", d.Destination, cli.Quote(d.Name), cli.Local(d.Done))
		case d.Error != "":
			line("to deliver", "%s: %s", d.Destination, cli.Clean(d.Error))
		default:
			line("to deliver", "%s", d.Destination)
		}
	}
	for i := range s.Waits {
		line("waits", "%s", waitText(&s.Waits[i]))
	}
	if r.Manifest != nil && r.Received != nil {
		printCheck(w, conf, r)
	}
	printDecisionCheck(w, conf, r)
}

func printDecided(line func(key, format string, args ...any), d ledger.Decision) {
	verb, who := "rejected", cli.Quote(d.Who)
	if d.Approve {
		verb = "approved"
	}
	if d.Officer != "" {
		who = fmt.Sprintf("%s, account %s", cli.Quote(d.Officer), who)
	}
	line(verb, "by %s (uid %d), %s%s", who, d.UID, cli.Local(&d.At), because(d.Reason))
	if d.Override != "" {
		line("", "although flagged: %s", d.Override)
	}
	if d.Key != "" {
		line("", "key %s", d.Key)
	}
}

// printDecisionCheck prints how anybody checks who has decided what.
func printDecisionCheck(w io.Writer, conf Config, r *ledger.Record) {
	head, show := "\nWho decided, checked with stock tools:\n", "ecluse-receiver show"
	if conf.Path != defaultPath {
		show += " --config " + cli.ShellQuote(conf.Path)
	}
	for i, d := range r.Decisions {
		if d.Signature == "" {
			continue
		}
		fmt.Fprintf(w, "%s  %s --json %s > show.json; jq -j .decisions[%d].document show.json > decision; jq -j .decisions[%d].signature show.json > decision.sig\n", head, show, r.Bundle, i, i)
		fmt.Fprintf(w, "  ssh-keygen -Y verify -f %s -I %s -n %s -Overify-time=%s -s decision.sig < decision\n", cli.ShellQuote(conf.Officers), cli.ShellQuote(d.Officer), bundle.NamespaceRelease, d.At.UTC().Format("20060102150405Z"))
		head = ""
	}
}

// signaturesOf says how old what an inspector judged by is.
func signaturesOf(n *ledger.Inspection) string {
	if n.Signed == nil {
		return ""
	}
	return ", signatures of " + cli.Local(n.Signed)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + cli.Clean(reason)
}

// printCheck prints how anybody checks the bundle without this program.
func printCheck(w io.Writer, conf Config, r *ledger.Record) {
	dir := chamber.Dir(conf.State, r.Tenant, r.Bundle)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return
	}
	fmt.Fprintf(w, `
Checked with stock tools, as the daemon's user or root:
  cd %s
  ssh-keygen -Y verify -f %s -I %s -n %s -Overify-time=%s -s manifest.json.sig < manifest.json
  echo "$(jq -r .sums manifest.json)  SHA256SUMS" | sha256sum -c
`, cli.ShellQuote(dir), cli.ShellQuote(conf.AllowedSigners), r.Sender, bundle.NamespaceBundle, r.Received.UTC().Format("20060102150405Z"))
	if _, err := os.Lstat(filepath.Join(dir, quarantine.FilesName)); err == nil { // also of what was refused: it shows what is wrong
		fmt.Fprintln(w, "  sha256sum -c --quiet SHA256SUMS")
	}
}

// completeBundles completes bundles for a shell.
func completeBundles(path *string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return cli.Complete(func(ctx context.Context) (list []string, err error) {
		conf, err := load(*path)
		if err != nil {
			return nil, err
		}
		rows, err := readRows(ctx, conf, ledger.Query{Limit: 1000})
		for _, r := range rows {
			if r.Bundle != nil {
				list = append(list, *r.Bundle+"\t"+string(r.State)+" "+cli.Or(r.Name))
			}
		}
		return list, err
	})
}
