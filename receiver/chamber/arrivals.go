package chamber

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// arrivalsName is the file below the state that says since when each tenant has to be fresh. Without it a daemon that is started once a day would never miss what never came.
const arrivalsName = "arrivals"

const arrivalsMost = 1 << 20 // bytes of it

// arrivals are what is known of the age of deliveries.
type arrivals struct {
	mu     sync.Mutex
	since  map[bundle.Name]time.Time // its tenant has a bound from here on; never changes after the start
	newest map[bundle.Name]time.Time // of tenants of which something was delivered
}

// Arrival is a tenant whose deliveries are to be fresh.
type Arrival struct {
	Tenant bundle.Name
	Limit  time.Duration
	Newest time.Time // when its newest bundle was imported; zero for none
	Since  time.Time // when it got a limit
}

// Age is how old the newest delivery is; where there is none, how long the tenant has waited for one.
func (r Arrival) Age(now time.Time) time.Duration {
	if r.Newest.IsZero() {
		return now.Sub(r.Since)
	}
	return now.Sub(r.Newest)
}

// Arrivals lists the tenants whose deliveries are to be fresh, in order.
func (c *Chamber) Arrivals() (list []Arrival) {
	c.arrivals.mu.Lock()
	defer c.arrivals.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.o.Tenants)) {
		if limit := c.o.Tenants[name].Freshness; limit > 0 {
			list = append(list, Arrival{Tenant: name, Limit: limit, Newest: c.arrivals.newest[name], Since: c.arrivals.since[name]})
		}
	}
	return list
}

// arrived notes that all destinations of a tenant have a bundle.
func (c *Chamber) arrived(tenant bundle.Name) {
	c.arrivals.mu.Lock()
	defer c.arrivals.mu.Unlock()
	if c.arrivals.newest == nil {
		c.arrivals.newest = make(map[bundle.Name]time.Time)
	}
	c.arrivals.newest[tenant] = c.o.Now().UTC()
}

// loadArrivals takes up what an earlier life knew, and writes down which tenants have got or lost a limit since.
func (c *Chamber) loadArrivals(ctx context.Context) error {
	path := filepath.Join(c.o.State, arrivalsName)
	before, err := c.readArrivals(path)
	if err != nil {
		c.o.Log.Error("it is not known since when deliveries have to be fresh: from now on", zap.String("file", path), zap.Error(err))
	}
	now := c.o.Now().UTC()
	since := make(map[bundle.Name]time.Time)
	for name, t := range c.o.Tenants {
		if t.Freshness == 0 {
			continue
		}
		at, known := before[name]
		if !known || at.After(now) {
			at = now
		}
		since[name] = at
		newest, err := c.o.Ledger.Newest(ctx, name)
		if err != nil {
			return err
		}
		if !newest.IsZero() {
			c.arrivals.mu.Lock()
			if c.arrivals.newest == nil {
				c.arrivals.newest = make(map[bundle.Name]time.Time)
			}
			c.arrivals.newest[name] = newest
			c.arrivals.mu.Unlock()
		}
	}
	c.arrivals.mu.Lock()
	c.arrivals.since = since
	c.arrivals.mu.Unlock()
	if maps.Equal(since, before) {
		return nil
	}
	text, err := json.Marshal(since)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := c.o.Disk.Replace(path, journal.Seal(text)); err != nil { // a full disk keeps nobody from starting
		c.o.Log.Error("write down since when deliveries have to be fresh", zap.Error(err))
	}
	return nil
}

func (c *Chamber) readArrivals(path string) (since map[bundle.Name]time.Time, err error) {
	file, err := c.o.Disk.ReadFile(path, arrivalsMost)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, _, err := journal.Open(file)
	if err != nil {
		return nil, err
	}
	return since, json.Unmarshal(text, &since)
}
