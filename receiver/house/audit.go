package house

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/receiver/ledger"
)

// auditOrigin is what a high side's log calls itself. The key that it draws tells one from another.
const auditOrigin = "ecluse-receiver"

// openAudit opens the audit log, and has the book write to it. A log that is not what was signed is set aside, and an alarm stands for it: what is in quarantine does not depend on the log,
// and whoever can change one byte of it must not be able to stop what comes in.
func (s *State) openAudit() (err error) {
	s.Audit, err = audit.Open(audit.Options{Dir: audit.Dir(s.Dir), Disk: s.Disk, Origin: auditOrigin, Now: s.Clock.Now})
	if err != nil {
		return err
	}
	err = s.Ledger.SetAudit(s.Audit)
	for _, text := range s.Audit.Findings() {
		s.o.Log.Warn("audit", zap.String("text", text))
	}
	if err != nil {
		return errors.Join(err, s.Audit.Close())
	}
	return nil
}

// noteAcceptance tells the log of a state that nobody has open what a person has accepted.
func noteAcceptance(dir string, d *disk.Disk, by ledger.Acceptance, did []string) error {
	data, err := json.Marshal(did)
	if err != nil {
		return err
	}
	a, err := audit.Open(audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: auditOrigin, Now: time.Now})
	if err != nil {
		return err
	}
	last, err := audit.Reader{Disk: d, Dir: audit.Dir(dir)}.Records()
	if err != nil { // it cannot say what it told of: the next start tells another one of all that stands
		err = a.SetAside(err.Error())
	} else {
		err = takeWhatStands(dir, d, a, last)
	}
	if err == nil {
		err = a.Note(audit.Entry{Event: "accepted", Who: by.Who, Text: by.Reason, Data: data})
	}
	return errors.Join(err, a.Close())
}

// takeWhatStands tells of all records that are not those of which the log told last: they were put back from a backup, or set aside, and a person has accepted that.
func takeWhatStands(dir string, d *disk.Disk, a *audit.Log, last map[string]string) error {
	const why = "accepted as it stands"
	var list []audit.Entry
	err := ledger.Digests(d, dir, func(bundle, digest string) error {
		if last[bundle] != digest {
			list = append(list, audit.Entry{Event: "stands", Bundle: bundle, Record: digest, Text: why})
		}
		delete(last, bundle)
		return nil
	})
	for bundle, digest := range last {
		if digest != audit.Gone {
			list = append(list, audit.Entry{Event: "stands", Bundle: bundle, Record: audit.Gone, Text: why})
		}
	}
	slices.SortFunc(list, func(a, b audit.Entry) int { return strings.Compare(a.Bundle, b.Bundle) })
	return errors.Join(err, a.Append(list...))
}

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
