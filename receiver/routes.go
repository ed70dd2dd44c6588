package main

import (
	"context"
	"maps"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/route"
	"ecluse/protocol/bundle"
)

// said notes that somebody has said a word about a route. It holds already; what is on record of bundles follows.
func (d *daemon) said(w route.Word) {
	tenant := string(w.Tenant)
	if w.Tenant == route.All {
		tenant = "all"
	}
	d.Audit.Tell(w.Entry())
	d.log.Warn("route", zap.String("tenant", tenant), zap.Bool("stopped", w.Stopped), zap.String("who", w.Who), zap.Uint32("uid", w.UID), zap.String("reason", w.Reason))
	select {
	case d.routed <- struct{}{}:
	default: // one is enough
	}
}

// watchRoutes looks every second whose route is closed, and holds the quarantine against it when that has changed: a day is over, or a person or the configuration has spoken.
func (d *daemon) watchRoutes(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	was := d.closedRoutes()
	for {
		spoken := false
		select {
		case <-tick.C:
		case <-d.routed:
			spoken = true
		case <-ctx.Done():
			return nil
		}
		now := d.closedRoutes()
		if !spoken && maps.Equal(was, now) {
			continue
		}
		was = now
		if err := d.Chamber.Recheck(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("hold the quarantine against the routes that are open", zap.Error(err))
		}
	}
}

// closedRoutes are the tenants whose route is closed, and why.
func (d *daemon) closedRoutes() map[bundle.Name]string {
	closed := make(map[bundle.Name]string)
	for _, name := range d.Routes.Tenants() {
		if why := d.Routes.Closed(name, d.Clock.Now()); why != nil {
			closed[name] = why.Error()
		}
	}
	return closed
}
