package house

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/clock"
	"ecluse/internal/disk"
	"ecluse/receiver/ledger"
)

// auditOrigin is what a high side's log calls itself. The key that it draws tells one from another.
const auditOrigin = "ecluse-receiver"

// auditOptions are those of the log of a state.
func auditOptions(dir string, d *disk.Disk, now func() time.Time) audit.Options {
	return audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: auditOrigin, Now: now}
}

// openAudit opens the audit log, and has the book write to it.
func (s *State) openAudit() (err error) {
	s.Audit, err = audit.OpenFor(s.Ledger, auditOptions(s.Dir, s.Disk, s.Clock.Now), func(text string) { s.o.Log.Warn("audit", zap.String("text", text)) })
	return err
}

// noteAcceptance tells the log of a state that nobody has open what a person has accepted.
func noteAcceptance(dir string, d *disk.Disk, by ledger.Acceptance, did []string) error {
	data, err := json.Marshal(did)
	if err != nil {
		return err
	}
	return audit.AtRest(auditOptions(dir, d, clock.AtRest(d, clockPath(dir), time.Now)), func(a *audit.Log) error {
		last, err := audit.Reader{Disk: d, Dir: audit.Dir(dir)}.Records()
		if err != nil { // it cannot say what it told of: the next start tells another one of all that stands
			err = a.SetAside(err.Error())
		} else {
			err = takeWhatStands(dir, d, a, last)
		}
		if err == nil {
			err = a.Note(audit.Entry{Event: "accepted", Who: by.Who, Text: by.Reason, Data: data})
		}
		return err
	})
}

// takeWhatStands tells of all records that are not those of which the log told last: they were put back from a backup, or set aside, and a person has accepted that.
func takeWhatStands(dir string, d *disk.Disk, a *audit.Log, last map[string]string) error {
	const why = "accepted as it stands"
	var list []audit.Entry
	err := ledger.Digests(d, dir)(func(bundle, digest string) error {
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
