package route

import (
	"errors"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/instance"
	"ecluse/protocol/bundle"
)

// Rest is a state that no daemon has open.
type Rest struct {
	Dir     string
	Disk    *disk.Disk
	Version int           // of the state's form
	Audit   audit.Options // of its log, with the state's clock
}

// Say takes a person's word there: it is in the state and in its log when Say returns, for whoever opens it next.
func (r Rest) Say(routes map[bundle.Name]Facts, w Word) (by Word, still string, err error) {
	lock, err := instance.Take(r.Dir, r.Version, r.Disk.Replace)
	if err != nil {
		return w, "", err
	}
	disk.NewSpare(r.Disk, r.Dir).GiveWhenFull()
	if by, still, err = Open(r.Disk, r.Dir, routes).Say(w, r.Audit.Now()); err == nil {
		err = audit.AtRest(r.Audit, func(l *audit.Log) error { return l.Note(by.Entry()) })
	}
	return by, still, errors.Join(err, lock.Release())
}

// Entry is the word in the audit log.
func (w *Word) Entry() audit.Entry {
	e := audit.Entry{Event: "route-started", Tenant: string(w.Tenant), Who: w.Who, Text: w.Reason}
	if w.Stopped {
		e.Event = "route-stopped"
	}
	if w.Tenant == All {
		e.Tenant, e.Text = "", "of every tenant: "+w.Reason
	}
	return e
}
