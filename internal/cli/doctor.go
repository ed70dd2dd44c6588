package cli

import (
	"errors"
	"fmt"
	"io"

	"ecluse/internal/alarm"
	"ecluse/internal/control"
)

// Finding is one thing that doctor looked at.
type Finding struct {
	What string `json:"what"`
	Is   string `json:"is"`   // ok, warning or fault
	Text string `json:"text"` // "" for ok
}

// Doctor collects findings.
type Doctor struct {
	Findings []Finding
}

// Check notes that something holds, or why not.
func (d *Doctor) Check(what string, err error) {
	if err != nil {
		d.Findings = append(d.Findings, Finding{what, "fault", err.Error()})
		return
	}
	d.Findings = append(d.Findings, Finding{what, "ok", ""})
}

// Warn notes something that works and could be better.
func (d *Doctor) Warn(what, text string) {
	d.Findings = append(d.Findings, Finding{what, "warning", text})
}

// Daemon notes whether the daemon answers, and its alarms; false where none runs.
func (d *Doctor) Daemon(err error, alarms alarm.List) (runs bool) {
	if errors.Is(err, control.ErrNoDaemon) {
		d.Warn("daemon", "it is not running")
		return false
	}
	d.Check("daemon", err)
	for _, a := range alarms {
		d.Check("alarm "+a.Name, errors.New(a.Text))
	}
	return true
}

// Print prints all findings, and ends with Failed where there is a fault.
func (d *Doctor) Print(w io.Writer, asJSON bool) error {
	faults := 0
	for _, f := range d.Findings {
		if f.Is == "fault" {
			faults++
		}
		if asJSON {
			continue
		}
		text := ""
		if f.Text != "" {
			text = ": " + Clean(f.Text)
		}
		if _, err := fmt.Fprintf(w, "%-8s %s%s\n", f.Is, Clean(f.What), text); err != nil {
			return err
		}
	}
	if asJSON {
		if err := PrintJSON(w, d.Findings); err != nil {
			return err
		}
	}
	if faults > 0 {
		return &Error{Code: Failed}
	}
	return nil
}
