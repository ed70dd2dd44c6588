package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/policy"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
)

func (f *policyFlags) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "show [flags]", Short: "Show all that holds for a tenant", Args: cobra.NoArgs,
		Long: `Show what a tenant lets through, in words: whether its route is open, who owns it, why it is there and until when, and every rule that its content is held against. Without --tenant
all tenants are shown. It is what the configuration says now; a daemon holds to what it read when it started.`,
		Example: fmt.Sprintf("  %s policy show --tenant cssf\n  %s policy show --json", f.house.Program, f.house.Program),
		RunE: func(c *cobra.Command, _ []string) error {
			site, err := f.house.Load(f.config)
			if err != nil {
				return err
			}
			tenants := site.Tenants
			if f.tenant != "" {
				t, err := tenants.named(f.tenant)
				if err != nil {
					return err
				}
				tenants = Tenants{*t}
			}
			words, err := readWords(c.Context(), site.Reader)
			if err != nil {
				return err
			}
			shown := []map[string]any{}
			for i, t := range tenants {
				s := standingOf(&t, words, time.Now())
				if f.json {
					shown = append(shown, s.value())
					continue
				}
				if i > 0 {
					fmt.Fprintln(c.OutOrStdout())
				}
				s.print(c.OutOrStdout())
			}
			if !f.json {
				return nil
			}
			if f.tenant != "" {
				return PrintJSON(c.OutOrStdout(), shown[0])
			}
			return PrintJSON(c.OutOrStdout(), shown)
		},
	}
	c.Flags().StringVar(&f.tenant, "tenant", "", "only this `TENANT`")
	return c
}

// readWords asks the daemon who is stopped, or reads it where none runs.
func readWords(ctx context.Context, r Reader) (map[bundle.Name]route.Word, error) {
	var list []route.Word
	words := make(map[bundle.Name]route.Word)
	err := control.Call(ctx, r.State, "routes", struct{}{}, &list)
	if errors.Is(err, control.ErrNoDaemon) {
		if words, err = route.Read(disk.New(), r.State); errors.Is(err, fs.ErrPermission) {
			err = r.NoDaemon(control.ErrNoDaemon)
		}
		return words, err
	}
	for _, w := range list {
		words[w.Tenant] = w
	}
	return words, err
}

// standing is a tenant with what people have said of it.
type standing struct {
	*Tenant
	closed  error
	stopped *route.Word
	now     time.Time
}

func standingOf(t *Tenant, words map[bundle.Name]route.Word, now time.Time) *standing {
	b := route.Of(words, nil, Tenants{*t}.Routes())
	s := &standing{Tenant: t, closed: b.Closed(bundle.Name(t.Name), now), now: now}
	for _, name := range []bundle.Name{bundle.Name(t.Name), route.All} {
		if w, ok := b.Word(name); ok && w.Stopped {
			s.stopped = &w
		}
	}
	return s
}

// value is what --json prints of a tenant.
func (s *standing) value() map[string]any {
	v := map[string]any{
		"tenant": s.Name, "open": s.closed == nil, "reason": nil, "detail": nil, "enabled": !s.Route.Disabled, "owner": s.Route.Owner, "contact": s.Route.Contact,
		"justification": s.Route.Justification, "expires": nil, "stopped": s.stopped, "policy": nil,
	}
	if reason, ok := bundle.ReasonOf(s.closed); ok {
		v["reason"], v["detail"] = reason, s.closed.Error()
	}
	if !s.Route.Expires.IsZero() {
		v["expires"] = s.Route.Expires
	}
	for _, r := range s.Rest {
		v[r.Key] = r.Value
	}
	if p := &s.Policy; p.Given {
		v["policy"] = map[string]any{
			"names": lists(p.Names), "types": lists(p.Types), "files": p.Files, "file_size": int64(p.FileSize), "size": int64(p.Size), "text": some(p.Text), "macros": p.Macros, "honest_names": p.Honest,
			"archives": map[string]any{"depth": p.Archives.Depth, "entries": p.Archives.Entries, "size": int64(p.Archives.Size), "ratio": p.Archives.Ratio, "encrypted": p.Archives.Encrypted},
		}
	}
	return v
}

func lists(l policy.ListsConfig) map[string]any {
	return map[string]any{"allow": some(l.Allow), "deny": some(l.Deny)}
}

func some(list []string) []string { return append([]string{}, list...) }

// print shows a tenant to people.
func (s *standing) print(w io.Writer) {
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%-14s %s\n", key, fmt.Sprintf(format, args...)) }
	line("tenant", "%s", s.Name)
	if s.closed == nil {
		line("route", "open")
	} else {
		line("route", "%s", Clean(s.closed.Error()))
	}
	for _, t := range [][2]string{{"owner", s.Route.Owner}, {"contact", s.Route.Contact}, {"justification", s.Route.Justification}} {
		if t[1] != "" {
			line(t[0], "%s", strings.ReplaceAll(strings.TrimSpace(Clean(t[1])), "\n", "\n"+strings.Repeat(" ", 15)))
		}
	}
	switch e := s.Route.Expires; {
	case e.IsZero():
		line("expires", "never")
	case s.now.Before(e.End()):
		line("expires", "with %s, in %d days", e, s.Route.Left(s.now))
	default:
		line("expires", "with %s, which is over", e)
	}
	for _, r := range s.Rest {
		line(r.Key, "%s", Clean(r.Words))
	}
	if !s.Policy.Given {
		line("content", "is not looked at: there is no policy:")
		return
	}
	for _, r := range policyWords(&s.Policy) {
		line(r.Key, "%s", Clean(r.Words))
	}
}

// policyWords says a policy in words.
func policyWords(p *policy.Config) []Rule {
	bound := func(n int64, words string) string {
		if n == 0 {
			return "no bound"
		}
		return words + " at the most"
	}
	bytes := func(n config.Bytes) string { return bound(int64(n), config.FormatBytes(int64(n))) }
	macros, honest := "of documents are not let in", "may say what they like"
	if p.Macros == policy.Allow {
		macros = "of documents are let in"
	}
	if p.Honest {
		honest = "must say what a file is"
	}
	var text []string
	for _, t := range p.Text {
		text = append(text, fmt.Sprintf("%q", t))
	}
	a := &p.Archives
	archives := fmt.Sprintf("are opened %d deep, up to %d entries, %s and %d times their size; encrypted ones are not let in", a.Depth, a.Entries, config.FormatBytes(int64(a.Size)), a.Ratio)
	if a.Encrypted == policy.Allow {
		archives = strings.Replace(archives, "are not let in", "are let in unseen", 1)
	}
	rules := []Rule{
		{Key: "names", Words: listsWords(p.Names)}, {Key: "types", Words: listsWords(p.Types)}, {Key: "extensions", Words: honest},
		{Key: "files", Words: bound(p.Files, fmt.Sprint(p.Files))}, {Key: "file size", Words: bytes(p.FileSize)}, {Key: "size", Words: bytes(p.Size)},
		{Key: "macros", Words: macros}, {Key: "archives", Words: archives},
	}
	if len(text) > 0 {
		rules = append(rules, Rule{Key: "text", Words: "must not hold " + strings.Join(text, ", ")})
	}
	return rules
}

func listsWords(l policy.ListsConfig) string {
	words := "all"
	if len(l.Allow) > 0 {
		words = "only " + strings.Join(l.Allow, ", ")
	}
	if len(l.Deny) > 0 {
		words += ", but not " + strings.Join(l.Deny, ", ")
	}
	return words
}
