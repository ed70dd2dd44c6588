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
	Findings      []Finding
	misconfigured bool
}

// Check notes that something holds, or why not.
func (d *Doctor) Check(what string, err error) {
	if err != nil {
		d.Findings = append(d.Findings, Finding{what, "fault", err.Error()})
		return
	}
	d.Findings = append(d.Findings, Finding{what, "ok", ""})
}

// Configuration notes whether the configuration holds. Where it does not, nothing else can be looked at, and Print ends with Usage.
func (d *Doctor) Configuration(path string, err error) {
	d.Check("configuration "+path, err)
	d.misconfigured = err != nil
}

// Environment notes variables that override no key, though they look as if.
func (d *Doctor) Environment(unread []string) {
	for _, name := range unread {
		d.Warn("environment", name+" overrides no key: correct its spelling, or unset it (keys in lists, and the other side's, cannot be overridden here)")
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

// Daemon notes whether the daemon answers, and its alarms; false where nobody holds the state.
func (d *Doctor) Daemon(err error, alarms alarm.List, s Service) (held bool) {
	if errors.Is(err, control.ErrNoDaemon) {
		alarms.Absent(s.Held(), "nothing crosses", s.Next())
		d.Warn("daemon", alarms[len(alarms)-1].Text)
		return s.Held()
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
	if d.misconfigured {
		return &Error{Code: Usage}
	}
	if faults > 0 {
		return &Error{Code: Failed}
	}
	return nil
}
