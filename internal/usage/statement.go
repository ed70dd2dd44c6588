package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Namespace is that of the signatures over statements.
const Namespace = "usage@ecluse"

// format is the form of a statement.
const format = "ecluse-usage/1"

// Statement is a month that is over: what each tenant used, and what that cost. Its text is what is signed.
type Statement struct {
	Format  string    `json:"format"`
	Side    string    `json:"side"` // low or high
	Name    string    `json:"name"` // of this side
	Month   Month     `json:"month"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"` // the first moment after it
	Closed  time.Time `json:"closed"`
	Prices  *Prices   `json:"prices"`
	Tenants []Line    `json:"tenants"`
}

// Line is one tenant's month.
type Line struct {
	Tenant string `json:"tenant"`
	Figures
	Cost *Cost `json:"cost"`
}

// Lines makes lines of figures, in the order of the tenants' names.
func Lines(figures map[string]Figures, p *Prices) []Line {
	lines := []Line{}
	for _, t := range sorted(figures) {
		lines = append(lines, Line{t, figures[t], p.Of(figures[t])})
	}
	return lines
}

// NewStatement closes a month.
func NewStatement(side, name string, m Month, closed time.Time, figures map[string]Figures, p *Prices) *Statement {
	s := &Statement{Format: format, Side: side, Name: name, Month: m, From: m.Start(), To: m.End(), Closed: closed.UTC().Truncate(time.Second), Tenants: Lines(figures, p)}
	if p != nil && p.Given {
		s.Prices = p
	}
	return s
}

// Text is its one form.
func (s *Statement) Text() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic("usage: internal error: " + err.Error())
	}
	return b.Bytes()
}

// ParseStatement takes what Text gives for a month, and nothing else.
func ParseStatement(text []byte, m Month) (*Statement, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var s Statement
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("read the statement of %v: %w", m, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the statement of %v: something follows it", m)
	}
	if s.Prices != nil {
		s.Prices.Given = true
	}
	if s.Format != format || s.Month != m || !s.From.Equal(m.Start()) || !s.To.Equal(m.End()) || !bytes.Equal(s.Text(), text) {
		return nil, fmt.Errorf("read the statement of %v: it is none of that month in its one form", m)
	}
	return &s, nil
}
