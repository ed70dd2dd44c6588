package meter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/usage"
)

// Program is what a house says of itself for the command `usage`.
type Program struct {
	Name   string // of the program
	Config func(c *cobra.Command, path *string)
	// Open reads a configuration, and gives how its state is read.
	Open func(path string) (Side, cli.Reader, error)
}

// flags are what the command is told.
type flags struct {
	config, month, year, tenant string
	json, csv                   bool
}

// Command is `usage`.
func Command(p Program) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use: "usage [flags]", Short: "Say what tenants have used, what it costs, and how far their envelopes last", Args: cobra.NoArgs,
		Long: `Say what each tenant has used in each month (UTC), what that costs by the prices of the configuration, and how the envelopes of the year stand. A month is closed a day after
its end, signed, and not changed any more. Without flags: this year so far.`,
		Example: "  " + p.Name + ` usage
  ` + p.Name + ` usage --month 2026-11 --tenant cssf --json
  ` + p.Name + ` usage --year 2026 --csv > usage.csv
  ` + p.Name + ` usage statement 2026-10`,
		RunE: func(c *cobra.Command, _ []string) error { return report(c, p, f) },
	}
	p.Config(c, &f.config)
	cli.JSONFlag(c, &f.json)
	c.Flags().BoolVar(&f.csv, "csv", false, "print CSV")
	c.Flags().StringVar(&f.month, "month", "", "only this `MONTH`, as in 2026-11")
	c.Flags().StringVar(&f.year, "year", "", "the months of this `YEAR`, as in 2026")
	c.Flags().StringVar(&f.tenant, "tenant", "", "only this `TENANT`")
	c.MarkFlagsMutuallyExclusive("json", "csv")
	c.MarkFlagsMutuallyExclusive("month", "year")
	c.AddCommand(statementCommand(p))
	return c
}

// span is which months are asked for.
func (f *flags) span(now time.Time) (from, through usage.Month, err error) {
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
		return 0, 0, &cli.Error{Code: cli.Usage, Err: err}
	}
	return from, through, nil
}

func report(c *cobra.Command, p Program, f flags) error {
	side, reader, err := p.Open(f.config)
	if err != nil {
		return err
	}
	from, through, err := f.span(side.Now())
	if err != nil {
		return err
	}
	r, err := read(c.Context(), side, reader, Request{from, through})
	if err != nil {
		return err
	}
	if r.Only(f.tenant); f.tenant != "" && !knows(side, r, f.tenant) {
		return cli.Fail(cli.NotFound, "there is no tenant %q, and none of that name has used anything in this time", f.tenant)
	}
	switch {
	case f.json:
		return cli.PrintJSON(c.OutOrStdout(), r)
	case f.csv:
		return r.WriteCSV(c.OutOrStdout())
	}
	return printReport(c.OutOrStdout(), r)
}

func knows(s Side, r *usage.Report, tenant string) bool {
	return slices.ContainsFunc(s.Tenants, func(t Tenant) bool { return t.Name == tenant }) ||
		slices.ContainsFunc(r.Months, func(m usage.MonthReport) bool { return len(m.Tenants) > 0 })
}

// read reads the state, or asks the daemon for people who may not read that themselves.
func read(ctx context.Context, side Side, reader cli.Reader, in Request) (*usage.Report, error) {
	r, err := side.Report(ctx, in)
	if errors.Is(err, fs.ErrPermission) {
		r = new(usage.Report)
		err = reader.NoDaemon(control.Call(ctx, reader.State, "usage", in, r))
	}
	return r, err
}

// printReport shows a report to people.
func printReport(w io.Writer, r *usage.Report) error {
	table := [][]string{{"MONTH", "TENANT", "BUNDLES", "FILES", "BYTES", "LINK", "STORAGE", "COST", "STATE"}}
	all := make(map[string]usage.Line)
	currency := make(map[string]string)
	for _, m := range r.Months {
		state := m.State
		if m.Signed {
			state += ", signed"
		}
		for _, l := range m.Tenants {
			table = append(table, row(m.Month.String(), l, cli.Or(m.Currency), state))
			t := all[l.Tenant]
			all[l.Tenant] = usage.Line{Tenant: l.Tenant, Figures: t.Figures.Plus(l.Figures), Cost: t.Cost.Plus(l.Cost)}
			switch now := cli.Or(m.Currency); {
			case currency[l.Tenant] == "" || l.Cost != nil && currency[l.Tenant] == "-":
				currency[l.Tenant] = now
			case l.Cost != nil && currency[l.Tenant] != now:
				currency[l.Tenant] = "of several currencies"
			}
		}
	}
	if len(r.Months) > 1 {
		for _, t := range slices.Sorted(maps.Keys(all)) {
			table = append(table, row("all", all[t], currency[t], ""))
		}
	}
	if err := cli.Table(w, table); err != nil {
		return err
	}
	for _, e := range r.Envelopes {
		fmt.Fprintln(w, standing(&e))
	}
	return nil
}

func row(month string, l usage.Line, currency, state string) []string {
	link, price := "-", "-"
	if l.Link != nil {
		link = time.Duration(*l.Link).Round(time.Millisecond).String()
	}
	if l.Cost != nil {
		price = l.Cost.Total.String() + " " + currency
	}
	return []string{
		month, cli.Quote(l.Tenant), fmt.Sprint(l.Bundles), fmt.Sprint(l.Files), config.FormatBytes(l.Bytes), link, fmt.Sprintf("%.2f GiB-days", float64(l.ByteDays)/(1<<30)), price, state,
	}
}

// standing is an envelope in one line.
func standing(e *usage.Standing) string {
	text := fmt.Sprintf("envelope of %s, %v through %v: %.1f%% used", cli.Quote(e.Tenant), e.From, e.Through, e.Share*100)
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

func statementCommand(p Program) *cobra.Command {
	var path, dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "statement MONTH [flags]", Short: "Print the signed statement of a month", Args: cobra.ExactArgs(1),
		Long: `Print the statement of a month that is closed, exactly as it was signed; where its signature stands, and how stock tools check it, is said on stderr. --dir writes statement,
signature and the file of who signs there, for whoever is to check them elsewhere.`,
		Example: "  " + p.Name + ` usage statement 2026-10
  ` + p.Name + ` usage statement 2026-10 --dir /media/stick`,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := usage.ParseMonth(args[0])
			if err != nil {
				return &cli.Error{Code: cli.Usage, Err: err}
			}
			return statement(c, p, path, m, dir, asJSON)
		},
	}
	p.Config(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().StringVar(&dir, "dir", "", "write it to `DIR` instead, with its signature and who signs")
	c.MarkFlagsMutuallyExclusive("json", "dir")
	return c
}

func statement(c *cobra.Command, p Program, config string, m usage.Month, dir string, asJSON bool) error {
	side, reader, err := p.Open(config)
	if err != nil {
		return err
	}
	paper, err := side.Paper(m)
	if errors.Is(err, fs.ErrPermission) {
		paper = new(Paper)
		err = reader.NoDaemon(control.Call(c.Context(), reader.State, "usage-statement", m, paper))
	}
	if err != nil {
		return err
	}
	at, signers := paper.Path, side.Book.Signers()
	switch {
	case asJSON:
		if err := cli.PrintJSON(c.OutOrStdout(), paper); err != nil {
			return err
		}
	case dir != "":
		at, signers = filepath.Join(dir, filepath.Base(paper.Path)), filepath.Join(dir, filepath.Base(signers))
		if err := side.export(paper, dir); err != nil {
			return err
		}
	default:
		if _, err := io.WriteString(c.OutOrStdout(), paper.Text); err != nil {
			return err
		}
	}
	if paper.Signature == nil {
		return cli.WithHint(fmt.Errorf("the statement of %v is not signed yet", m), "the daemon tries again every ten minutes; its log says what is in the way")
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s; check it:\nssh-keygen -Y verify -f %s -I %s -n %s -s %s%s < %s\n", at, signers, paper.Name, usage.Namespace, at, signature, at)
	return nil
}

// export writes a statement, its signature and who signs into a directory. What stands there already and says otherwise is somebody else's, such as a receiver's own allowed_signers, or the statement
// of the other side: nothing is written then.
func (s Side) export(p *Paper, dir string) error {
	files := map[string]string{filepath.Base(p.Path): p.Text, signers: p.Signers}
	if p.Signature != nil {
		files[filepath.Base(p.Path)+signature] = *p.Signature
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		have, err := s.Book.disk.ReadFile(path, statementLimit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("write the statement: look at what is there: %w", err)
		case string(have) != files[name] && (name != signers || !linesOf(files[name], string(have))):
			return &cli.Error{Code: cli.Refused, Err: fmt.Errorf("%s is there already, and says something else", path), Hint: "--dir names another directory, best an empty one"}
		}
	}
	for name, text := range files {
		if err := s.Book.disk.Replace(filepath.Join(dir, name), []byte(text)); err != nil {
			return fmt.Errorf("write the statement: %w", err)
		}
	}
	return nil
}

// linesOf says whether each line of a part is one of a text.
func linesOf(text, part string) bool {
	all := strings.Split(text, "\n")
	return !slices.ContainsFunc(strings.Split(part, "\n"), func(l string) bool { return l != "" && !slices.Contains(all, l) })
}
