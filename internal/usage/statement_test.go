package usage

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"
)

func example(t testing.TB) *Statement {
	link := LinkTime(1_500_000_000)
	m := mustMonth(t, "2026-10")
	return NewStatement("low", "ctie-low", m, time.Date(2026, 11, 2, 0, 0, 7, 9, time.UTC), map[string]Figures{
		"cssf": {Bundles: 2, Files: 3, Bytes: 1e9, Link: &link, ByteDays: 5}, "abc": {Link: new(LinkTime)},
	}, &Prices{Given: true, Currency: "EUR", Gigabyte: 120_000_000})
}

const exampleText = `{
  "format": "ecluse-usage/1",
  "side": "low",
  "name": "ctie-low",
  "month": "2026-10",
  "from": "2026-10-01T00:00:00Z",
  "to": "2026-11-01T00:00:00Z",
  "closed": "2026-11-02T00:00:07Z",
  "prices": {
    "currency": "EUR",
    "gigabyte": "0.12",
    "bundle": "0",
    "file": "0",
    "link_hour": "0",
    "gigabyte_month": "0"
  },
  "tenants": [
    {
      "tenant": "abc",
      "bundles": 0,
      "files": 0,
      "bytes": 0,
      "link_seconds": 0,
      "byte_days": 0,
      "cost": {
        "bundles": "0.00",
        "files": "0.00",
        "bytes": "0.00",
        "link": "0.00",
        "storage": "0.00",
        "total": "0.00"
      }
    },
    {
      "tenant": "cssf",
      "bundles": 2,
      "files": 3,
      "bytes": 1000000000,
      "link_seconds": 1.5,
      "byte_days": 5,
      "cost": {
        "bundles": "0.00",
        "files": "0.00",
        "bytes": "0.12",
        "link": "0.00",
        "storage": "0.00",
        "total": "0.12"
      }
    }
  ]
}
`

func TestAStatementHasOneForm(t *testing.T) {
	s := example(t)
	if string(s.Text()) != exampleText {
		t.Errorf("%s", s.Text())
	}
	again, err := ParseStatement(s.Text(), s.Month)
	if err != nil || !bytes.Equal(again.Text(), s.Text()) {
		t.Fatalf("%v: %s", err, again.Text())
	}
	plain := NewStatement("high", "h", s.Month, s.Closed, nil, nil)
	if again, err = ParseStatement(plain.Text(), s.Month); err != nil || again.Prices != nil || !strings.Contains(string(plain.Text()), `"prices": null,`) || !strings.Contains(string(plain.Text()), `"tenants": []`) {
		t.Errorf("%v: %s", err, plain.Text())
	}
	for name, text := range map[string]string{
		"another month's":    strings.ReplaceAll(exampleText, "2026-10", "2026-09"),
		"another end":        strings.Replace(exampleText, "2026-11-01", "2026-11-02", 1),
		"another format":     strings.Replace(exampleText, "usage/1", "usage/2", 1),
		"a key more":         strings.Replace(exampleText, `"side"`, `"more": 1, "side"`, 1),
		"a key twice":        strings.Replace(exampleText, `"side": "low",`, `"side": "high", "side": "low",`, 1),
		"something behind":   exampleText + "{}",
		"a space":            exampleText + " ",
		"no line feed":       strings.TrimSuffix(exampleText, "\n"),
		"half":               exampleText[:len(exampleText)/2],
		"nothing":            "",
		"another number":     strings.Replace(exampleText, `"bytes": 1000000000`, `"bytes": 1e9`, 1),
		"an amount's tail":   strings.Replace(exampleText, `"0.12"`, `"0.120"`, 1),
		"a price below zero": strings.Replace(exampleText, `"0.12"`, `"-0.12"`, 1),
	} {
		if _, err := ParseStatement([]byte(text), s.Month); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNoCellOfCSVIsAFormula(t *testing.T) {
	names := []string{`=cmd()|' /C calc'!A0`, "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "|x", "＝1", "'=1", "a,b\"c\nd", "plain"}
	r := &Report{Months: []MonthReport{{Month: mustMonth(t, "2026-10"), State: Open}}}
	for _, n := range names {
		r.Months[0].Tenants = append(r.Months[0].Tenants, Line{Tenant: n})
	}
	bad := "=1+1"
	r.Months[0].Currency, r.Months[0].Tenants[0].Cost = &bad, new(Cost)
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 1+len(names) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, row := range rows {
		if len(row) != len(csvHead) {
			t.Errorf("row %d has %d cells", i, len(row))
		}
		for _, cell := range row {
			if first := strings.TrimSpace(cell); first != "" && strings.ContainsAny(first[:1], "=+-@|") {
				t.Errorf("row %d: %q begins a formula", i, cell)
			}
		}
		if i > 0 && names[i-1] != "plain" && names[i-1] != "a,b\"c\nd" && !strings.HasPrefix(row[3], "'") {
			t.Errorf("%q stands there as %q", names[i-1], row[3])
		}
	}
	if got := rows[len(rows)-2][3]; got != "a,b\"c\nd" {
		t.Errorf("what is no formula became %q", got)
	}
}
