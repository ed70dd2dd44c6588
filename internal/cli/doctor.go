package cli

import (
	"errors"
	"fmt"
	"io"

	"ecluse/internal/alarm"
	"ecluse/internal/control"
	"ecluse/internal/host"
)

// Finding is one thing that doctor looked at.
type Finding struct {
	What string `json:"what"`
	Is   string `json:"is"`   // ok, warning or fault
	Text string `json:"text"` // may be "" for ok
}

// Doctor collects findings.
type Doctor struct {
	Findings []Finding
	lost     bool // the configuration does not hold
}

// Check notes that something holds, or why not.
func (d *Doctor) Check(what string, err error) {
	if err != nil {
		d.Findings = append(d.Findings, Finding{what, "fault", err.Error()})
		return
	}
	d.Findings = append(d.Findings, Finding{what, "ok", ""})
}

// Configuration notes whether the configuration holds. Of nothing else can be said whether it does where that does not.
func (d *Doctor) Configuration(path string, err error) {
	d.Check("configuration "+path, err)
	d.lost = err != nil
}

// Environment notes variables that override no key, though they look as if.
func (d *Doctor) Environment(unread []string) {
	for _, name := range unread {
		d.Warn("environment", name+" is the name of no key that a variable can override: it is not looked at")
	}
}

// Warn notes something that works and could be better.
func (d *Doctor) Warn(what, text string) {
	d.Findings = append(d.Findings, Finding{what, "warning", text})
}

// Note notes something that holds, and how.
func (d *Doctor) Note(what, text string) {
	d.Findings = append(d.Findings, Finding{what, "ok", text})
}

// Advise notes what was advised, or that nothing had to be; err is why it could not be looked at.
func (d *Doctor) Advise(what string, list []host.Advice, err error) {
	if err != nil || len(list) == 0 {
		d.Check(what, err)
		return
	}
	for _, a := range list {
		d.Warn(a.What, a.Text)
	}
}

// Machine looks at what both sides need of it: rate is that of all links in bits a second, 0 where it is not known, and memory what their blocks may take.
func (d *Doctor) Machine(rate, memory int64) {
	d.Advise("processors", host.Processors(host.Governors(), rate), nil)
	available, err := host.Available()
	d.Advise("memory", host.Memory(memory, available), err)
	right, err := host.Synchronised()
	d.Advise("clock", host.Clock(right || err != nil), err)
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

// Print prints all findings, and ends with Failed where there is a fault, and with Usage where it is the configuration.
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
	if d.lost {
		return &Error{Code: Usage}
	}
	if faults > 0 {
		return &Error{Code: Failed}
	}
	return nil
}
