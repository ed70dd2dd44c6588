package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/meter"
	"ecluse/internal/usage"
)

// usageFlags are what usage is told.
type usageFlags struct {
	config, month, year, tenant string
	json, csv                   bool
}

// UsageCommand is `usage` with its verb.
func UsageCommand(h House) *cobra.Command {
	var f usageFlags
	c := &cobra.Command{
		Use: "usage [flags]", Short: "Say what tenants have used, what it costs, and how far their envelopes last", Args: cobra.NoArgs,
		Long: `Say what each tenant has used in each month (UTC), what that costs by the prices of the configuration, and how the envelopes of the year stand. A month is closed a day after
its end, signed, and not changed any more. Without flags: this year so far.`,
		Example: "  " + h.Program + ` usage
  ` + h.Program + ` usage --month 2026-11 --tenant cssf --json
  ` + h.Program + ` usage --year 2026 --csv > usage.csv
  ` + h.Program + ` usage statement 2026-10`,
		RunE: func(c *cobra.Command, _ []string) error { return h.usage(c, f) },
	}
	ConfigFlag(c, &f.config, h.Default)
	JSONFlag(c, &f.json)
	c.Flags().BoolVar(&f.csv, "csv", false, "print CSV")
	c.Flags().StringVar(&f.month, "month", "", "only this `MONTH`, as in 2026-11")
	c.Flags().StringVar(&f.year, "year", "", "the months of this `YEAR`, as in 2026")
	c.Flags().StringVar(&f.tenant, "tenant", "", "only this `TENANT`")
	c.MarkFlagsMutuallyExclusive("json", "csv")
	c.MarkFlagsMutuallyExclusive("month", "year")
	c.AddCommand(h.statementCommand())
	return c
}

// span is which months are asked for.
func (f *usageFlags) span(now time.Time) (from, through usage.Month, err error) {
	this := usage.MonthOf(now)
	switch {
	case f.month != "":
		from, err = usage.ParseMonth(f.month)
		through = from
	case f.year != "":
		from, err = usage.ParseYear(f.year)
		through = from + 11
		if from <= this {
			through = min(through, this)
		}
	default:
		from, through = this.Year(1), this
	}
	if err != nil {
		return 0, 0, &Error{Code: Usage, Err: err}
	}
	return from, through, nil
}

func (h House) usage(c *cobra.Command, f usageFlags) error {
	site, err := h.Load(f.config)
	if err != nil {
		return err
	}
	from, through, err := f.span(site.Account.Now())
	if err != nil {
		return err
	}
	r, err := site.readUsage(c.Context(), meter.Request{From: from, Through: through})
	if err != nil {
		return err
	}
	if r.Only(f.tenant); f.tenant != "" && !site.knows(r, f.tenant) {
		return Fail(NotFound, "there is no tenant %q, and none of that name has used anything in this time", f.tenant)
	}
	switch {
	case f.json:
		return PrintJSON(c.OutOrStdout(), r)
	case f.csv:
		return r.WriteCSV(c.OutOrStdout())
	}
	return printUsage(c.OutOrStdout(), r)
}

// knows says whether a tenant is configured, or has used anything.
func (s Site) knows(r *usage.Report, tenant string) bool {
	return slices.Contains(s.Tenants.Names(), tenant) ||
		slices.ContainsFunc(r.Months, func(m usage.MonthReport) bool { return len(m.Tenants) > 0 })
}

// readUsage reads the state, or asks the daemon for people who may not read that themselves.
func (s Site) readUsage(ctx context.Context, in meter.Request) (*usage.Report, error) {
	r, err := reportOf(ctx, s.Account, in)
	if errors.Is(err, fs.ErrPermission) {
		r = new(usage.Report)
		err = s.Reader.NoDaemon(control.Call(ctx, s.Reader.State, "usage", in, r))
	}
	return r, err
}

// printUsage shows a report to people.
func printUsage(w io.Writer, r *usage.Report) error {
	table := [][]string{{"MONTH", "TENANT", "BUNDLES", "FILES", "BYTES", "LINK", "STORAGE", "COST", "STATE"}}
	all := make(map[string]usage.Line)
	currency := make(map[string]string)
	for _, m := range r.Months {
		state := m.State
		if m.Signed {
			state += ", signed"
		}
		for _, l := range m.Tenants {
			table = append(table, usageRow(m.Month.String(), l, Or(m.Currency), state))
			t := all[l.Tenant]
			all[l.Tenant] = usage.Line{Tenant: l.Tenant, Figures: t.Figures.Plus(l.Figures), Cost: t.Cost.Plus(l.Cost)}
			switch now := Or(m.Currency); {
			case currency[l.Tenant] == "" || l.Cost != nil && currency[l.Tenant] == "-":
				currency[l.Tenant] = now
			case l.Cost != nil && currency[l.Tenant] != now:
				currency[l.Tenant] = "of several currencies"
			}
		}
	}
	if len(r.Months) > 1 {
		for _, t := range slices.Sorted(maps.Keys(all)) {
			table = append(table, usageRow("all", all[t], currency[t], ""))
		}
	}
	if err := Table(w, table); err != nil {
		return err
	}
	for _, e := range r.Envelopes {
		fmt.Fprintln(w, envelopeLine(&e))
	}
	return nil
}

func usageRow(month string, l usage.Line, currency, state string) []string {
	link, price := "-", "-"
	if l.Link != nil {
		link = time.Duration(*l.Link).Round(time.Millisecond).String()
	}
	if l.Cost != nil {
		price = l.Cost.Total.String() + " " + currency
	}
	return []string{
		month, Quote(l.Tenant), fmt.Sprint(l.Bundles), fmt.Sprint(l.Files), config.FormatBytes(l.Bytes), link, fmt.Sprintf("%.2f GiB-days", float64(l.ByteDays)/(1<<30)), price, state,
	}
}

// envelopeLine is an envelope in one line.
func envelopeLine(e *usage.Standing) string {
	text := fmt.Sprintf("envelope of %s, %v through %v: %.1f%% used", Quote(e.Tenant), e.From, e.Through, e.Share*100)
	if e.BytesMost > 0 {
		text += fmt.Sprintf(", %s of %v", config.FormatBytes(e.Bytes), config.Bytes(e.BytesMost))
	}
	if e.CostMost > 0 && e.Cost != nil {
		text += fmt.Sprintf(", cost %v of %v", *e.Cost, e.CostMost)
	}
	switch {
	case e.Full && e.Stop:
		return text + "; nothing more is taken"
	case e.Full:
		return text + "; nothing is left"
	case e.Exhausted != nil:
		return text + "; at the rate of the last months nothing is left on " + e.Exhausted.Format("2006-01-02")
	}
	return text + fmt.Sprintf("; at the rate of the last months %.0f%% at its end", e.YearEnd*100)
}

func (h House) statementCommand() *cobra.Command {
	var path, dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "statement MONTH [flags]", Short: "Print the signed statement of a month", Args: cobra.ExactArgs(1),
		Long: `Print the statement of a month that is closed, exactly as it was signed; where its signature stands, and how stock tools check it, is said on stderr. --dir writes statement,
signature and the file of who signs there, for whoever is to check them elsewhere.`,
		Example: "  " + h.Program + ` usage statement 2026-10
  ` + h.Program + ` usage statement 2026-10 --dir /media/stick`,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := usage.ParseMonth(args[0])
			if err != nil {
				return &Error{Code: Usage, Err: err}
			}
			return h.statement(c, path, m, dir, asJSON)
		},
	}
	ConfigFlag(c, &path, h.Default)
	JSONFlag(c, &asJSON)
	c.Flags().StringVar(&dir, "dir", "", "write it to `DIR` instead, with its signature and who signs")
	c.MarkFlagsMutuallyExclusive("json", "dir")
	return c
}

func (h House) statement(c *cobra.Command, path string, m usage.Month, dir string, asJSON bool) error {
	site, err := h.Load(path)
	if err != nil {
		return err
	}
	paper, err := paperOf(site.Account, m)
	if errors.Is(err, fs.ErrPermission) {
		paper = new(meter.Paper)
		err = site.Reader.NoDaemon(control.Call(c.Context(), site.Reader.State, "usage-statement", m, paper))
	}
	if err != nil {
		return err
	}
	at, signers := paper.Path, site.Account.Book.Signers()
	switch {
	case asJSON:
		if err := PrintJSON(c.OutOrStdout(), paper); err != nil {
			return err
		}
	case dir != "":
		at, signers = filepath.Join(dir, filepath.Base(paper.Path)), filepath.Join(dir, filepath.Base(signers))
		if err := site.Account.Book.Export(paper, dir); err != nil {
			if taken := (*meter.TakenError)(nil); errors.As(err, &taken) {
				return &Error{Code: Refused, Err: err, Hint: "--dir names another directory, best an empty one"}
			}
			return err
		}
	default:
		if _, err := io.WriteString(c.OutOrStdout(), paper.Text); err != nil {
			return err
		}
	}
	if paper.Signature == nil {
		return WithHint(fmt.Errorf("the statement of %v is not signed yet", m), "the daemon tries again every ten minutes; its log says what is in the way")
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s; check it:\nssh-keygen -Y verify -f %s -I %s -n %s -s %s < %s\n", at, signers, paper.Name, usage.Namespace, meter.SignatureOf(at), at)
	return nil
}

// reportOf answers for the account of months.
func reportOf(ctx context.Context, side meter.Side, in meter.Request) (*usage.Report, error) {
	r, err := side.Report(ctx, in)
	if span := (*meter.SpanError)(nil); errors.As(err, &span) {
		return nil, &Error{Code: Usage, Err: err}
	}
	return r, err
}

// paperOf answers for the statement of a month.
func paperOf(side meter.Side, m usage.Month) (*meter.Paper, error) {
	p, err := side.Paper(m)
	switch {
	case errors.Is(err, meter.ErrOpen):
		return nil, &Error{Code: NotFound, Err: err}
	case err != nil:
		return nil, &Error{Code: Refused, Err: err}
	}
	return p, nil
}

// HandleUsage registers what the usage commands ask a daemon for.
func HandleUsage(s *control.Server, view control.Allow, side meter.Side) {
	s.Handle("usage", view, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var in meter.Request
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		r, err := reportOf(ctx, side, in)
		return r, coded(err)
	})
	s.Handle("usage-statement", view, false, func(_ context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var month usage.Month
		if err := control.Decode(m, &month); err != nil {
			return nil, err
		}
		p, err := paperOf(side, month)
		return p, coded(err)
	})
}

// coded carries the exit code of an error to the command that has asked.
func coded(err error) error {
	if err == nil {
		return nil
	}
	return &control.Error{Code: Code(err), Text: err.Error()}
}
