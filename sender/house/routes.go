package house

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
)

// scratchName is the directory below the state where what is taken out of archives is kept while they are looked into.
const scratchName = "inspect"

// clearScratch removes what a child has left whose parent was killed.
func (h *House) clearScratch() error {
	if err := disk.Clear(filepath.Join(h.Dir, scratchName)); err != nil {
		return fmt.Errorf("clear what was looked into: %w", err)
	}
	return nil
}

// Follow stops what is stopped, and lets go on what is not: by what people and the configuration say, and by the clock of the state, which a machine's that is set back does not move. It is to be called when that may have changed.
func (h *House) Follow() {
	h.following.Lock() // what was asked before a stop must not be done after it
	defer h.following.Unlock()
	for i, t := range h.o.Tenants {
		h.Dispatch.Halt(i, h.Routes.Closed(t.Name, h.Clock.Now()))
	}
}

// followRoutes notices the end of a route's last day.
func (h *House) followRoutes(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
			h.Follow()
			if n%60 == 0 {
				if err := h.Clock.Save(); err != nil {
					h.o.Log.Error("keep the time for the next start", zap.Error(err))
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// Say takes a person's word about a route where no daemon runs.
func Say(dir string, d *disk.Disk, routes map[bundle.Name]route.Facts, w route.Word) (by route.Word, still string, err error) {
	return route.Rest{Dir: dir, Disk: d, Version: stateVersion, Audit: auditOptions(dir, d, restClock(d, dir))}.Say(routes, w)
}
