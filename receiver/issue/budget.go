package issue

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"ecluse/protocol/bundle"
)

// Peer is who asks.
type Peer struct {
	UID  uint32
	Name string
}

// entry is one code that was issued.
type entry struct {
	At     time.Time   `json:"at"`
	UID    uint32      `json:"uid"`
	Who    string      `json:"who"`
	Sender bundle.Name `json:"sender"`
	Tenant bundle.Name `json:"tenant"`
	What   string      `json:"what"`
	Digest string      `json:"digest"` // SHA-256 of the code, to know it again
}

// issuedFile is tickets/issued.json: what was issued on the newest day on which anything was.
type issuedFile struct {
	Day   string  `json:"day"`
	Codes []entry `json:"codes"`
}

const issuedName = "issued.json"

func (d *Desk) issuedPath() string { return filepath.Join(d.o.Dir, issuedName) }

// today gives what counts for today, under the lock. A clock that was set back gives nobody another day.
func (d *Desk) today() (issuedFile, error) {
	day := d.o.Now().UTC().Format(time.DateOnly)
	var f issuedFile
	err := readSealed(d.o.Disk, d.issuedPath(), &f)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("nobody knows how many codes were issued today: read %s: %w; restore it from a backup, or remove it and the count begins anew", d.issuedPath(), err)
	}
	if f.Day < day {
		f = issuedFile{Day: day}
	}
	return f, nil
}

// count makes a code count before anybody sees it, and gives how many are left today. One that was issued before today counts no more. Refused: ticket-budget.
func (d *Desk) count(code string, e entry) (left int, err error) {
	f, err := d.today()
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256([]byte(code))
	e.Digest, e.At = hex.EncodeToString(sum[:]), d.o.Now().UTC()
	if slices.ContainsFunc(f.Codes, func(have entry) bool { return have.Digest == e.Digest }) {
		return max(0, d.o.PerDay-len(f.Codes)), nil
	}
	if len(f.Codes) >= d.o.PerDay {
		return 0, bundle.Reject(bundle.ReasonTicketBudget, "T-12", "%d codes were issued on %s (UTC), and tickets.per_day allows %d: ask again tomorrow", len(f.Codes), f.Day, d.o.PerDay)
	}
	f.Codes = append(f.Codes, e)
	if err := writeSealed(d.o.Disk, d.issuedPath(), f); err != nil {
		return 0, fmt.Errorf("count the code: %w", err)
	}
	return d.o.PerDay - len(f.Codes), nil
}
