package house

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

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

// Follow stops what is stopped, and lets go on what is not: by what people and the configuration say, and by the machine's clock. It is to be called when that may have changed.
func (h *House) Follow() {
	h.following.Lock() // what was asked before a stop must not be done after it
	defer h.following.Unlock()
	for i, t := range h.o.Tenants {
		h.Dispatch.Halt(i, h.Routes.Closed(t.Name, h.Now()))
	}
}

// followRoutes notices the end of a route's last day.
func (h *House) followRoutes(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.Follow()
		case <-ctx.Done():
			return
		}
	}
}

// Say takes a person's word about a route where no daemon runs.
func Say(dir string, d *disk.Disk, routes map[bundle.Name]route.Facts, w route.Word) (by route.Word, still string, err error) {
	return route.Rest{Dir: dir, Disk: d, Version: stateVersion, Audit: auditOptions(dir, d, time.Now)}.Say(routes, w)
}
