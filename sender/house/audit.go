package house

import (
	"errors"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/route"
)

// noteAtRest tells the log of a state of which the caller has the lock, and which nobody has open.
func noteAtRest(dir string, d *disk.Disk, e audit.Entry) error {
	a, err := audit.Open(audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: auditOrigin, Now: time.Now})
	if err != nil {
		return err
	}
	return errors.Join(a.Note(e), a.Close())
}

// RouteEntry is a person's word about a route in the log.
func RouteEntry(w route.Word) audit.Entry {
	e := audit.Entry{Event: "route-started", Tenant: string(w.Tenant), Who: w.Who, Text: w.Reason}
	if w.Stopped {
		e.Event = "route-stopped"
	}
	if w.Tenant == route.All {
		e.Tenant, e.Text = "", "of every tenant: "+w.Reason
	}
	return e
}
