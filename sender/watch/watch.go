// Package watch says what is wrong on the low side: it turns what the daemon counts into the status that people and monitoring read, and into alarms.
//
// It is pure. An alarm stands as long as its cause does; its text names the thing and the next step. That nothing comes back from the other side is no alarm: the low
// side cannot know.
package watch

import (
	"cmp"
	"slices"
	"time"

	"ecluse/internal/alarm"
	"ecluse/internal/audit"
	"ecluse/internal/route"
	"ecluse/internal/usage"
	"ecluse/sender/ledger"
)

// Status is what `status --json` prints.
type Status struct {
	Version string                 `json:"version"`
	Running bool                   `json:"running"`
	Since   *time.Time             `json:"since"`
	Sender  string                 `json:"sender"`
	Epoch   string                 `json:"epoch"`
	Links   []Link                 `json:"links"`
	Bundles map[ledger.State]int64 `json:"bundles"`
	Waiting int                    `json:"waiting_bundles"`
	Bytes   int64                  `json:"waiting_bytes"`
	Audit   *audit.Growth          `json:"audit"` // null where nobody knows
	Routes  []route.Row            `json:"routes"`
	Alarms  alarm.List             `json:"alarms"`
}

// Link is one link since the start.
type Link struct {
	Name     string  `json:"name"`
	To       string  `json:"to"`
	Mode     string  `json:"mode"`
	MTU      int     `json:"mtu"`
	Session  uint64  `json:"session"`
	Packets  uint64  `json:"packets"`
	Bytes    uint64  `json:"bytes"`
	Errors   uint64  `json:"errors"`
	BitRate  float64 `json:"bits_per_second"`
	Rate     int64   `json:"rate_bits_per_second"` // configured
	K        int     `json:"k"`
	M        int     `json:"m"`
	Window   int     `json:"window"`
	RouteMTU *int    `json:"route_mtu"`
}

// Facts are what alarms are made of, beside the Status itself.
type Facts struct {
	// Where the daemon does not answer:
	Held bool   // somebody holds the state all the same
	Next string // what to type

	Audit      []string      // what is wrong with the audit log
	Stuck      []string      // goroutines that stand still
	Gone       []string      // outboxes that are not there
	Deaf       []Deaf        // outboxes of which nothing is taken
	Failed     []string      // tenants with something in failed/
	Orphan     []string      // tenants that are not configured any more, of whom bundles wait
	Unexamined []Unexamined  // items that could not be looked into
	Routes     alarm.List    // what is wrong with the routes of tenants
	Unread     string        // why a configuration that was edited cannot be read
	Ahead      time.Duration // how far the state's clock is before the machine's
	Errors     uint64        // batches that the system did not take in the last minute
	Full       []string      // directories whose disk has hardly room
	Envelopes  []usage.Standing
}

// Deaf is an outbox that is there and of which nothing is taken.
type Deaf struct{ Outbox, Why string }

// Unexamined is an item that waits because it could not be looked into.
type Unexamined struct{ Tenant, Why string }

// aheadMost is how far the state's clock may be before the machine's: a second is what its file rounds to.
const aheadMost = 5 * time.Second

// Alarms are what is wrong, in a stable order.
func Alarms(s *Status, f Facts) alarm.List {
	alarms := alarm.List{}
	add := alarms.Add
	if !s.Running {
		alarms.Absent(f.Held, "nothing is sent", f.Next)
	}
	for _, text := range f.Audit {
		add("audit", text, "%s", text)
	}
	for _, who := range f.Stuck {
		add("stuck", "", "%s stands still (the watchdog of its unit starts it again; its log says more)", who)
	}
	for _, dir := range f.Gone {
		add("outbox", dir, "%s: the outbox is not there (is its disk mounted?)", dir)
	}
	for _, d := range f.Deaf {
		add("outbox", d.Outbox, "%s: nothing is taken from the outbox: %s", d.Outbox, d.Why)
	}
	for _, t := range f.Orphan {
		add("tenant", t, "tenant %s: bundles of it wait to be sent, and it is not configured any more (put it back below tenants, with its outbox, until they are out: list --state sending)", t)
	}
	for _, dir := range f.Full {
		add("disk", dir, "%s: its disk has hardly room left, in bytes or in inodes: what is dropped may have to wait (make room)", dir)
	}
	for _, l := range s.Links {
		if l.RouteMTU != nil && *l.RouteMTU < l.MTU {
			add("mtu", l.Name, "link %s: its mtu is %d, and the route to %s has %d: nothing leaves (set both alike: ip link set IFACE mtu N, or mtu: of the link)", l.Name, l.MTU, l.To, *l.RouteMTU)
		}
		if f.Errors > 0 {
			add("unsent", l.Name, "link %s: the system did not take %d batches in the last minute (is the interface up?)", l.Name, f.Errors)
		}
	}
	for _, u := range firstOfEach(f.Unexamined) {
		add("inspector", u.Tenant, "tenant %s: items wait that could not be looked into, and are tried again (is there room, and memory?): %s", u.Tenant, u.Why)
	}
	alarms = append(alarms, f.Routes...)
	if f.Unread != "" {
		add("configuration", "", "the configuration was edited and cannot be read, the former routes stand: %s", f.Unread)
	}
	if f.Ahead > aheadMost {
		add("clock", "", "the machine's clock is %v behind what it was: routes end by the later time (set it right; where the later one was wrong, stop the daemon, remove the file clock in its state, and start it)", f.Ahead.Round(time.Second))
	}
	for _, e := range f.Envelopes {
		if text := e.Alarm(); text != "" {
			add("envelope", e.Tenant, "%s", text)
		}
	}
	for _, t := range f.Failed {
		add("failed", t, "tenant %s: items wait in failed/ for their operators, with the reason beside each (list --state failed; dismiss BUNDLE once it was looked at)", t)
	}
	return alarms
}

// firstOfEach keeps one of each tenant, in order.
func firstOfEach(list []Unexamined) []Unexamined {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Unexamined) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Why, b.Why)) })
	return slices.CompactFunc(list, func(a, b Unexamined) bool { return a.Tenant == b.Tenant })
}
