package cli

import (
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
)

// AuditGrowth looks at the log of a state, and at what its disk has left beside what is kept back. nil: nobody can say.
func AuditGrowth(state string, kept func(total int64) int64, now time.Time) *audit.Growth {
	d := disk.New()
	free, err := d.Space(state)
	if err != nil {
		return nil
	}
	g, err := audit.Reader{Disk: d, Dir: audit.Dir(state)}.Growth(now, free.Bytes-kept(free.Total))
	if err != nil {
		return nil
	}
	return &g
}

// growthFor is how long a look at the growth stands.
const growthFor = time.Minute

// Growth is AuditGrowth of a minute.
func (w *AuditWatch) Growth(state string, kept func(total int64) int64, now time.Time) *audit.Growth {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looked.IsZero() || time.Since(w.looked) > growthFor {
		w.growth, w.looked = AuditGrowth(state, kept, now), time.Now()
	}
	return w.growth
}

// roomLeast is for how many days an audit log should have room.
const roomLeast = 90

// AuditGrowth says how long the disk lasts.
func (d *Doctor) AuditGrowth(g *audit.Growth) {
	switch {
	case g == nil:
	case g.Lasts != nil && *g.Lasts < roomLeast:
		d.Warn("audit", g.String()+": make the disk larger, for no entry is ever given up")
	default:
		d.Note("audit", g.String())
	}
}
