// Package audittest holds the audit log of a state against what else is on record there, for tests of whole houses.
package audittest

import (
	"ecluse/internal/audit"
	"ecluse/internal/disk"
)

// Hold holds the log of a state against itself and the records beside it, and every bundle that has ended, in a state that ended names, against its entries. What does not hold is told to fail.
func Hold(state string, records audit.Records, ended map[string]string, fail func(format string, args ...any)) {
	log := audit.Reader{Disk: disk.New(), Dir: audit.Dir(state)}
	r, err := audit.Verify(log, nil, "", records)
	if err != nil {
		fail("read the audit log in %s: %v", state, err)
	} else {
		for _, f := range r.Faults {
			fail("the audit log in %s: %s", state, f.Text)
		}
	}
	for bundle, is := range ended {
		if ok, err := told(log, bundle, is); !ok {
			fail("%s is %s, and no entry of the audit log in %s says how it became that (%v)", bundle, is, state, err)
		}
	}
}

// told says whether a bundle has an entry of how it came to its state. A log that was begun anew, because a file of it was damaged, knows what it had only.
func told(log audit.Reader, bundle, is string) (ok bool, err error) {
	entries, err := log.List(audit.Query{Bundle: bundle})
	for _, e := range entries {
		if e.State == is || e.Event == "known" {
			return true, nil
		}
	}
	return false, err
}
