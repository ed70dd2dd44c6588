package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/ledger"
)

// waitsRequest asks what approved bundles wait for, at most cli.PageMost of them.
type waitsRequest struct {
	Bundles []string `json:"bundles"`
}

// listed is a row, and what its bundle waits for; null where that is not known, or nothing.
type listed struct {
	ledger.Row
	Waits []chamber.Wait `json:"waits"`
}

// waitsOf is the daemon's answer: by bundle, of those that wait.
func waitsOf(c *chamber.Chamber, in waitsRequest) (map[string][]chamber.Wait, error) {
	if len(in.Bundles) > cli.PageMost {
		return nil, &control.Error{Code: cli.Usage, Text: fmt.Sprintf("at most %d bundles are asked for at once", cli.PageMost)}
	}
	all := make(map[string][]chamber.Wait)
	for _, text := range in.Bundles {
		id, err := bundle.ParseID(text)
		if err != nil {
			return nil, &control.Error{Code: cli.Usage, Text: err.Error()}
		}
		if w := c.Waits(id); w != nil {
			all[text] = w
		}
	}
	return all, nil
}

// askWaits asks the daemon. Where none runs nothing is tried, and nobody knows more than the records.
func askWaits(ctx context.Context, conf Config, bundles []string) map[string][]chamber.Wait {
	all := make(map[string][]chamber.Wait)
	for some := range slices.Chunk(bundles, cli.PageMost) {
		if control.Call(ctx, conf.State, "waits", waitsRequest{some}, &all) != nil {
			break
		}
	}
	return all
}

// withWaits says of the rows that are approved what they wait for.
func withWaits(ctx context.Context, conf Config, rows []ledger.Row) []listed {
	var approved []string
	for _, r := range rows {
		if r.State == ledger.Approved && r.Bundle != nil {
			approved = append(approved, *r.Bundle)
		}
	}
	waits := askWaits(ctx, conf, approved)
	list := make([]listed, len(rows))
	for i, r := range rows {
		list[i].Row = r
		if r.Bundle != nil {
			list[i].Waits = waits[*r.Bundle]
		}
	}
	return list
}

// waitText says in one line what is waited for, since when, and when the next attempt is.
func waitText(w *chamber.Wait) string {
	var b strings.Builder
	fmt.Fprintf(&b, "for %s", cmp.Or(w.Destination, "its papers"))
	switch {
	case w.Error != nil && w.Behind != nil:
		fmt.Fprintf(&b, ", behind %s, since %s", w.Behind, cli.Local(&w.Since))
	case w.Error != nil:
		fmt.Fprintf(&b, " since %s", cli.Local(&w.Since))
	case w.Behind != nil:
		fmt.Fprintf(&b, ", behind %s, which is on its way since %s", w.Behind, cli.Local(&w.Since))
	default:
		fmt.Fprintf(&b, ", on its way since %s", cli.Local(&w.Since))
	}
	if w.Error != nil {
		next := "now"
		if w.Next != nil {
			next = cli.Local(w.Next)
		}
		fmt.Fprintf(&b, ", next attempt %s: %s", next, strings.ReplaceAll(cli.Clean(*w.Error), "\n", " "))
	}
	return b.String()
}

// waitsText is waitText of all of them, in one cell of a table.
func waitsText(all []chamber.Wait) string {
	if len(all) == 0 {
		return "-"
	}
	var lines []string
	for i := range all {
		lines = append(lines, strings.TrimPrefix(strings.ReplaceAll(waitText(&all[i]), "\t", " "), "for "))
	}
	return strings.Join(lines, "; ")
}
