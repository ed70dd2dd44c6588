package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/audit"
	"ecluse/internal/control"
	"ecluse/internal/disk"
)

// auditRequest is what a command asks the daemon for, where its user may not read the log.
type auditRequest struct {
	What       string      `json:"what"` // list, entry, prove, checkpoint, key, verify
	Query      audit.Query `json:"query"`
	N          uint64      `json:"n"`
	Checkpoint string      `json:"checkpoint"` // that was kept elsewhere
	Key        string      `json:"key"`
}

// auditAnswer is what it gets.
type auditAnswer struct {
	Entries []audit.Entry `json:"entries,omitempty"`
	Proof   *audit.Proof  `json:"proof,omitempty"`
	Report  *audit.Report `json:"report,omitempty"`
	Text    string        `json:"text,omitempty"`
}

// answerAudit answers, for the daemon and for a command that may read the log itself.
func answerAudit(state string, records audit.Records, in auditRequest) (*auditAnswer, error) {
	r := audit.Reader{Disk: disk.New(), Dir: audit.Dir(state)}
	out := new(auditAnswer)
	var kept []byte
	if in.Checkpoint != "" {
		kept = audit.Unline([]byte(in.Checkpoint))
	}
	var err error
	switch in.What {
	case "list":
		out.Entries, err = r.List(in.Query)
	case "entry":
		var e *audit.Entry
		if e, err = r.Entry(in.N); err == nil {
			out.Entries = []audit.Entry{*e}
		}
	case "prove":
		out.Proof, err = r.Prove(in.N, kept, in.Key)
	case "checkpoint":
		var c audit.Checkpoint
		c, err = r.Checkpoint(in.Key)
		out.Text = c.Text
	case "key":
		out.Text, err = r.Key()
	case "verify":
		out.Report, err = audit.Verify(r, kept, in.Key, records)
	default:
		err = fmt.Errorf("nothing is known of %q", in.What)
	}
	if errors.Is(err, audit.ErrNone) {
		return nil, &control.Error{Code: NotFound, Text: err.Error()}
	}
	return out, err
}

// ServeAudit is answerAudit for a daemon: a list is bounded.
func ServeAudit(state string, records audit.Records) control.Handler {
	return func(_ context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var in auditRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		if in.Query.Limit <= 0 || in.Query.Limit > PageMost {
			in.Query.Limit = PageMost
		}
		return answerAudit(state, records, in)
	}
}

// askAudit reads the log, or asks the daemon.
func (s Site) askAudit(ctx context.Context, in auditRequest) (*auditAnswer, error) {
	out, err := answerAudit(s.Reader.State, s.Records, in)
	if errors.Is(err, fs.ErrPermission) {
		out = new(auditAnswer)
		err = s.Reader.NoDaemon(control.Call(ctx, s.Reader.State, "audit", in, out))
	}
	return out, err
}

// listAudit asks for entries; the daemon gives them by pages.
func (s Site) listAudit(ctx context.Context, q audit.Query) ([]audit.Entry, error) {
	out, err := answerAudit(s.Reader.State, s.Records, auditRequest{What: "list", Query: q})
	if err == nil {
		return out.Entries, nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	entries, err := pages(q.Limit, PageMost, func(page int, newer []audit.Entry) ([]audit.Entry, error) {
		next := q
		next.Limit = page
		if len(newer) > 0 {
			next.Before = &newer[0].N
		}
		out := new(auditAnswer)
		err := control.Call(ctx, s.Reader.State, "audit", auditRequest{What: "list", Query: next}, out)
		return out.Entries, err
	})
	return entries, s.Reader.NoDaemon(err)
}

// AuditCommand is `audit` with all of its verbs.
func AuditCommand(h House) *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "Show and check the log of everything that has happened",
		Long: `Show and check the log of everything that has happened: a Merkle tree over entries of which nothing can be changed, taken out or put in another order without that it
shows, with checkpoints that this side signs. What was cut off at its end shows against a checkpoint that was kept elsewhere.`,
	}
	c.AddCommand(h.auditList(), h.auditShow(), h.auditVerify(), h.auditProve(), h.auditExport(), h.auditText("checkpoint", "Print the newest signed checkpoint"), h.auditText("key", "Print the key that checks the log's signatures"))
	return c
}

func (h House) auditList() *cobra.Command {
	var path, bundle, tenant, since string
	var limit int
	var asJSON bool
	c := &cobra.Command{
		Use: "list [flags]", Short: "List entries, the oldest first", Args: cobra.NoArgs,
		Example: fmt.Sprintf("  %s audit list --bundle 3f7k2q\n  %[1]s audit list --tenant cssf --since 24h --json", h.Program),
		RunE: func(c *cobra.Command, _ []string) error {
			site, err := h.Load(path)
			if err != nil {
				return err
			}
			f := ListFlags{Tenant: tenant, Limit: limit, since: since}
			q := audit.Query{Bundle: bundle, Tenant: tenant, Limit: limit}
			if q.Since, err = f.Check(site.Tenants.Names(), time.Now()); err != nil {
				return err
			}
			entries, err := site.listAudit(c.Context(), q)
			if err != nil {
				return err
			}
			return printEntries(c.OutOrStdout(), entries, asJSON)
		},
	}
	ConfigFlag(c, &path, h.Default)
	JSONFlag(c, &asJSON)
	c.Flags().StringVar(&bundle, "bundle", "", "only of this `BUNDLE`, or of those that begin so")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this `TENANT`")
	c.Flags().StringVar(&since, "since", "", "only since `TIME`: 24h, 7d, or an RFC 3339 time")
	c.Flags().IntVar(&limit, "limit", 0, "only the newest `N`; 0 for all")
	return c
}

func printEntries(w io.Writer, entries []audit.Entry, asJSON bool) error {
	if asJSON {
		return PrintJSON(w, entries)
	}
	table := [][]string{{"N", "AT", "EVENT", "BUNDLE", "TENANT", "STATE", "REASON", "WHO", "TEXT"}}
	for _, e := range entries {
		table = append(table, []string{
			strconv.FormatUint(e.N, 10), Local(&e.At), e.Event, Or(&e.Bundle), Or(&e.Tenant), Or(&e.State), Or(&e.Reason), Or(&e.Who), Clean(e.Text),
		})
	}
	return Table(w, table)
}

func (h House) auditShow() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "show [flags] N|BUNDLE", Short: "Show one entry, or all of one bundle, with all that it says", Args: cobra.ExactArgs(1),
		Example: fmt.Sprintf("  %s audit show 4711\n  %[1]s audit show 3f7k2q", h.Program),
		RunE: func(c *cobra.Command, args []string) error {
			site, err := h.Load(path)
			if err != nil {
				return err
			}
			var entries []audit.Entry
			if n, bad := strconv.ParseUint(args[0], 10, 63); bad == nil && len(args[0]) < 6 || bad == nil && len(args[0]) != 26 {
				out, err := site.askAudit(c.Context(), auditRequest{What: "entry", N: n})
				if err != nil {
					return err
				}
				entries = out.Entries
			} else if entries, err = site.listAudit(c.Context(), audit.Query{Bundle: args[0]}); err != nil {
				return err
			}
			if len(entries) == 0 {
				return Fail(NotFound, "no entry is of a bundle that begins with %q", args[0])
			}
			if asJSON {
				return PrintJSON(c.OutOrStdout(), entries)
			}
			for _, e := range entries {
				printEntry(c.OutOrStdout(), &e)
			}
			return nil
		},
	}
	ConfigFlag(c, &path, h.Default)
	JSONFlag(c, &asJSON)
	return c
}

func printEntry(w io.Writer, e *audit.Entry) {
	fmt.Fprintf(w, "%d  %s  %s\n", e.N, Local(&e.At), e.Event)
	sequence := ""
	if e.Sequence > 0 {
		sequence = strconv.FormatUint(e.Sequence, 10)
	}
	for _, f := range [][2]string{
		{"bundle", e.Bundle}, {"tenant", e.Tenant}, {"sender", e.Sender}, {"sequence", sequence}, {"name", e.Name}, {"state", e.State}, {"verdict", e.Verdict}, {"reason", e.Reason},
		{"who", e.Who}, {"text", e.Text}, {"record", e.Record}, {"data", string(e.Data)},
	} {
		if f[1] != "" {
			fmt.Fprintf(w, "    %-10s%s\n", f[0], Clean(f[1]))
		}
	}
}

func (h House) auditProve() *cobra.Command {
	var path, checkpoint string
	c := &cobra.Command{
		Use: "prove [flags] N", Short: "Print a proof that an entry is in the log, as JSON", Args: cobra.ExactArgs(1),
		Long: `Print a proof that an entry is in the log, as JSON: the entry, the hashes beside its way to the root, and the signed checkpoint. audit verify --proof FILE --key KEY
checks it on any machine. With --checkpoint it is proved against one that was kept before.`,
		Example: fmt.Sprintf("  %s audit prove 4711 > proof.json", h.Program),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil {
				return Fail(Usage, "%q is no number of an entry (audit list shows them)", args[0])
			}
			site, err := h.Load(path)
			if err != nil {
				return err
			}
			in := auditRequest{What: "prove", N: n}
			if in.Checkpoint, err = readSmall(checkpoint); err != nil {
				return err
			}
			out, err := site.askAudit(c.Context(), in)
			if err != nil {
				return err
			}
			return PrintJSON(c.OutOrStdout(), out.Proof)
		},
	}
	ConfigFlag(c, &path, h.Default)
	c.Flags().StringVar(&checkpoint, "checkpoint", "", "against the checkpoint in this `FILE` instead of the newest")
	return c
}

func (h House) auditExport() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "export [flags] DIR", Short: "Copy all that is signed of the log, for another machine to check and keep", Args: cobra.ExactArgs(1),
		Long: `Copy all that the newest checkpoint covers, with that checkpoint and the key that checks it, into a directory that is empty or not there yet. audit verify --dir DIR
checks it on any machine. It needs to read the state: root does, and the daemon's own user.`,
		Example: fmt.Sprintf("  %s audit export /media/stick/audit-2026-11", h.Program),
		RunE: func(c *cobra.Command, args []string) error {
			site, err := h.Load(path)
			if err != nil {
				return err
			}
			cp, err := audit.Reader{Disk: disk.New(), Dir: audit.Dir(site.Reader.State)}.Export(args[0])
			switch {
			case errors.Is(err, audit.ErrNone):
				return &Error{Code: NotFound, Err: err}
			case errors.Is(err, audit.ErrTaken):
				return &Error{Code: Usage, Err: err}
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d entries are in %s\n", cp.Size, args[0])
			return err
		},
	}
	ConfigFlag(c, &path, h.Default)
	return c
}

func (h House) auditText(what, short string) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: what + " [flags]", Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			site, err := h.Load(path)
			if err != nil {
				return err
			}
			out, err := site.askAudit(c.Context(), auditRequest{What: what})
			if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), strings.TrimSuffix(out.Text, "\n"))
			}
			return err
		},
	}
	ConfigFlag(c, &path, h.Default)
	return c
}

// smallMost bounds what is read for a flag.
const smallMost = 4 << 20

// readSmall reads a file for a flag; none where there is no name.
func readSmall(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", &Error{Code: Usage, Err: err}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, smallMost))
	return string(text), err
}
