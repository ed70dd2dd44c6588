package usage

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
)

// Report is what `usage --json` prints.
type Report struct {
	Months    []MonthReport `json:"months"`
	Envelopes []Standing    `json:"envelopes"`
}

// MonthReport is a month of it.
type MonthReport struct {
	Month    Month   `json:"month"`
	State    string  `json:"state"` // open or closed
	Signed   bool    `json:"signed"`
	Currency *string `json:"currency"`
	Tenants  []Line  `json:"tenants"`
}

// The states of a month.
const (
	Open   = "open"
	Closed = "closed"
)

// Only leaves one tenant in a report; "" leaves all.
func (r *Report) Only(tenant string) {
	if tenant == "" {
		return
	}
	for i := range r.Months {
		r.Months[i].Tenants = keep(r.Months[i].Tenants, func(l Line) bool { return l.Tenant == tenant })
	}
	r.Envelopes = keep(r.Envelopes, func(s Standing) bool { return s.Tenant == tenant })
}

func keep[T any](all []T, wanted func(T) bool) []T {
	kept := []T{}
	for _, v := range all {
		if wanted(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

// defused is a cell of CSV that no spreadsheet takes for a formula: what begins like one has an apostrophe before it.
func defused(cell string) string {
	first := strings.TrimLeft(cell, " \u00a0")
	if first != "" && strings.ContainsRune("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20", []rune(first)[0]) || strings.HasPrefix(cell, "'") {
		return "'" + cell
	}
	return cell
}

var csvHead = []string{
	"month", "state", "signed", "tenant", "bundles", "files", "bytes", "link_seconds", "byte_days", "currency", "cost_bundles", "cost_files", "cost_bytes", "cost_link", "cost_storage", "cost_total",
}

// WriteCSV writes a line for each month and tenant. What is not known is empty.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{csvHead}
	for _, m := range r.Months {
		for _, l := range m.Tenants {
			row := []string{m.Month.String(), m.State, fmt.Sprint(m.Signed), defused(l.Tenant), fmt.Sprint(l.Bundles), fmt.Sprint(l.Files), fmt.Sprint(l.Bytes), "", fmt.Sprint(l.ByteDays)}
			if l.Link != nil {
				row[7] = l.Link.String()
			}
			costs := make([]string, 7)
			if l.Cost != nil {
				if m.Currency != nil {
					costs[0] = defused(*m.Currency)
				}
				for i, a := range []Amount{l.Cost.Bundles, l.Cost.Files, l.Cost.Bytes, l.Cost.Link, l.Cost.Storage, l.Cost.Total} {
					costs[1+i] = a.String()
				}
			}
			rows = append(rows, append(row, costs...))
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}
