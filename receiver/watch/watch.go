// Package watch says what is wrong on the high side: it turns what all rooms count into the status that people and monitoring read, and into alarms.
//
// It is pure. An alarm stands as long as its cause does; its text names the thing and the next step. Whoever has no alarm has nothing to do.
package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ecluse/internal/alarm"
	"ecluse/internal/audit"
	"ecluse/internal/config"
	"ecluse/internal/route"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
	"ecluse/receiver/collect"
	"ecluse/receiver/ledger"
)

// Status is what `status --json` prints.
type Status struct {
	Version  string                 `json:"version"`
	Running  bool                   `json:"running"`
	Since    *time.Time             `json:"since"`
	Clock    time.Time              `json:"clock"` // by which keys are judged
	Links    []Link                 `json:"links"`
	Sessions []collect.SessionRow   `json:"sessions"`
	Senders  []Sender               `json:"senders"`
	Bundles  map[ledger.State]int64 `json:"bundles"`
	Arrivals []Arrival              `json:"arrivals"`
	Disk     Disk                   `json:"disk"`
	Audit    *audit.Growth          `json:"audit"` // null where nobody knows
	Records  Records                `json:"records"`
	Routes   []route.Row            `json:"routes"`
	Alarms   alarm.List             `json:"alarms"`
}

// Link is one link. Ages are in seconds, null for what has not happened.
type Link struct {
	Name          string                   `json:"name"`
	Listen        string                   `json:"listen"`
	Mode          string                   `json:"mode"`
	PacketRate    float64                  `json:"packets_per_second"`
	BitRate       float64                  `json:"bits_per_second"`
	LastPacket    *float64                 `json:"last_packet_seconds"`
	LastHeartbeat *float64                 `json:"last_heartbeat_seconds"`
	Packets       collect.PacketCounts     `json:"packets"`
	Blocks        collect.BlockCounts      `json:"blocks"`
	Refused       map[bundle.Reason]uint64 `json:"refused"`
	Lost          collect.Loss             `json:"lost"`
	Memory        collect.Memory           `json:"memory"`
	Probe         *Probe                   `json:"probe"` // the newest, null for none
}

// Sender is what a sender's heartbeats say.
type Sender struct {
	Sender       bundle.Name `json:"sender"`
	Paired       bool        `json:"paired"`
	Heartbeat    *time.Time  `json:"heartbeat"` // by our clock
	ClockAhead   *float64    `json:"clock_ahead_seconds"`
	Waiting      *uint32     `json:"waiting_bundles"`
	WaitingBytes *uint64     `json:"waiting_bytes"`
	Unrecorded   uint64      `json:"unrecorded_refusals"` // refused at their offer, beyond those on record, since the start
}

// Arrival is a tenant whose newest delivery may not be older than its limit.
type Arrival struct {
	Tenant bundle.Name `json:"tenant"`
	Limit  float64     `json:"freshness_seconds"`
	Newest *time.Time  `json:"newest"` // delivery; null for none
	Age    float64     `json:"age_seconds"`
}

// Disk is what the state's disk has left.
type Disk struct {
	Free    int64 `json:"free_bytes"`
	Reserve int64 `json:"reserve_bytes"`
	Inodes  int64 `json:"free_inodes"` // -1 where the file system does not count them
}

// Records counts what blocks brought and what came of it.
type Records struct {
	Refused map[bundle.Reason]uint64 `json:"refused"`
	Dropped uint64                   `json:"dropped_frames"` // given up because a disk was slow
}

// Facts are what alarms are made of, beside the Status itself.
type Facts struct {
	// Where the daemon does not answer:
	Held bool   // somebody holds the state all the same
	Next string // what to type

	Silence     time.Duration           // of a link
	Up          time.Duration           // since this process began to listen
	Expecting   bool                    // a sender is enrolled
	Undone      int64                   // approved bundles whose delivery has failed
	Suspect     map[bundle.Reason]int64 // bundles that somebody should look at: held, or refused of late, by reason
	Refused     map[bundle.Reason]int64 // bundles that were refused of late, by reason
	Ahead       time.Duration           // of our clock before the machine's
	Stuck       []string                // goroutines that stand still
	Audit       []string                // what is wrong with the audit log
	Doubts      []string                // where the state is older than what the anchor remembers
	Lately      map[string]Lately       // of each link
	Unseen      int                     // bundles that were flagged after their delivery, and nobody has seen it
	Unreachable map[string]string       // destinations to which nothing can be delivered, and a text about each
	Homeless    []bundle.Name           // tenants of which bundles are held, and which are not configured
	Routes      alarm.List              // what is wrong with the routes of tenants
	Envelopes   []usage.Standing        // of tenants that have one
	Untrusted   string                  // why configuration, allowed_signers or officers could not be read again
	Unsigned    map[bundle.Name]string  // tenants of which nobody can tell who may sign content, and why
}

// Lately is what came of a link's packets within the last minute.
type Lately struct{ Here, Accepted uint64 } // lost in this host; accepted

// Recent follows the packets of each link over the last minute. One goroutine uses it at a time.
type Recent map[string]*struct{ here, accepted alarm.Minute }

func here(l *Link) uint64 { return l.Lost.Kernel + l.Lost.Queue }

// Note is to be called each second.
func (r Recent) Note(links []Link) {
	for i := range links {
		l := &links[i]
		if r[l.Name] == nil {
			r[l.Name] = new(struct{ here, accepted alarm.Minute })
		}
		r[l.Name].here.Note(here(l))
		r[l.Name].accepted.Note(l.Packets.Accepted)
	}
}

// Lately is what Facts are told.
func (r Recent) Lately(links []Link) map[string]Lately {
	lately := make(map[string]Lately)
	for i := range links {
		l := &links[i]
		if m := r[l.Name]; m != nil {
			lately[l.Name] = Lately{m.here.Since(here(l)), m.accepted.Since(l.Packets.Accepted)}
		}
	}
	return lately
}

// aheadMost is how far our clock may be before the machine's: a second is what the file of the clock rounds to.
const aheadMost = 5 * time.Second

// Alarms are what is wrong, in a stable order.
func Alarms(s *Status, f Facts) alarm.List {
	alarms := alarm.List{}
	add := alarms.Add
	if !s.Running {
		alarms.Absent(f.Held, "nothing is received", f.Next)
	}
	linkAlarms(&alarms, s, f)
	for _, text := range f.Doubts {
		add("rollback", text, "%s (ecluse-receiver anchor says more)", text)
	}
	for _, text := range f.Audit {
		add("audit", text, "%s", text)
	}
	for _, who := range f.Stuck {
		add("stuck", "", "%s stands still (the watchdog of its unit starts it again; its log says more)", who)
	}
	bundleAlarms(&alarms, s, f)
	for _, r := range s.Arrivals {
		if r.Age > r.Limit {
			add("stale", string(r.Tenant), "tenant %s: %s, and freshness: allows %v (is something sent, and does something wait for a release? list --tenant %s)", r.Tenant, r.age(), config.Duration(whole(r.Limit)), r.Tenant)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(f.Unreachable)) {
		add("delivery", dir, "%s", f.Unreachable[dir])
	}
	for _, t := range f.Homeless {
		add("tenant", string(t), "tenant %s: bundles of it stand in quarantine, and it is not configured any more (put it back below tenants until they are released or rejected: list --tenant %s)", t, t)
	}
	alarms = append(alarms, f.Routes...)
	if s.Disk.Free >= 0 && s.Disk.Free < s.Disk.Reserve {
		add("disk", "", "%s are free, below the %s kept back: nothing is admitted (reject what is damaged, release to another disk, make room; what is rejected stays for keep.rejected)", config.FormatBytes(s.Disk.Free), config.FormatBytes(s.Disk.Reserve))
	}
	for _, e := range f.Envelopes {
		if text := e.Alarm(); text != "" {
			add("envelope", e.Tenant, "%s", text)
		}
	}
	if f.Untrusted != "" {
		add("trust", "", "not all of configuration, allowed_signers and officers can be read; what cannot stands as it was: %s", f.Untrusted)
	}
	for _, t := range slices.Sorted(maps.Keys(f.Unsigned)) {
		add("trust", string(t), "who may sign content of tenant %s cannot be read, and what asks for signatures is held: %s", t, f.Unsigned[t])
	}
	if f.Ahead > aheadMost {
		add("clock", "", "the machine's clock is %v behind what it was: keys are judged and routes end by the later time (set it right, doctor looks at what keeps it; where the later one was wrong, stop the daemon, remove the file clock in its state, and start it)", f.Ahead.Round(time.Second))
	}
	return alarms
}

// linkAlarms are those of links.
func linkAlarms(alarms *alarm.List, s *Status, f Facts) {
	for _, l := range s.Links {
		quiet := f.Up
		if l.LastHeartbeat != nil {
			quiet = time.Duration(*l.LastHeartbeat * float64(time.Second))
		}
		if f.Expecting && quiet > f.Silence {
			alarms.Add("silence", l.Name, "link %s: no heartbeat for %v (is the sender running, is the light on?)", l.Name, quiet.Round(time.Second))
		}
		if m := f.Lately[l.Name]; m.Here > 0 && m.Here*100 > m.Accepted {
			alarms.Add("overload", l.Name, "link %s: %d packets were lost in this host within a minute, not on the link (doctor looks at the socket's buffer)", l.Name, m.Here)
		}
	}
}

// bundleAlarms are those of what becomes of bundles: not all of it came, somebody should look at it, it was refused, or it is not delivered.
func bundleAlarms(alarms *alarm.List, s *Status, f Facts) {
	if n := s.Bundles[ledger.Missing]; n > 0 {
		alarms.Add("missing", "", "%d bundles were sent and nothing of them is here (list --state missing; ticket --all prints codes for the low side)", n)
	}
	if n := s.Bundles[ledger.Damaged]; n > 0 {
		alarms.Add("damaged", "", "%d bundles lack parts (list --state damaged; ticket --all prints codes for the low side)", n)
	}
	for _, s := range suspicions {
		if n := f.Suspect[s.reason]; n > 0 {
			alarms.Add(string(s.reason), "", s.text, n)
		}
	}
	if f.Unseen > 0 {
		alarms.Add("inspection", "", "%d bundles are flagged that were delivered already, or may be (list --state imported, or approved; show BUNDLE says what was found; inspect --seen BUNDLE, when it was dealt with)", f.Unseen)
	}
	refused, why := int64(0), []string{}
	for _, reason := range slices.Sorted(maps.Keys(f.Refused)) {
		if !slices.Contains(Suspicions(), reason) && reason != bundle.ReasonRouteStopped && reason != bundle.ReasonRouteExpired { // those have alarms of their own
			refused, why = refused+f.Refused[reason], append(why, string(reason))
		}
	}
	if refused > 0 {
		alarms.Add("refused", "", "%d bundles were refused within a day: %s (list --state refused; when the cause is mended: of disk-full, quota and envelope ecluse-sender resend BUNDLE, of others the item dropped anew)", refused, strings.Join(why, ", "))
	}
	if f.Undone > 0 {
		alarms.Add("delivery", "", "%d approved bundles cannot be delivered (list --state approved says why)", f.Undone)
	}
}

// suspicions are the reasons that are alarms by themselves, and what they say.
var suspicions = []struct {
	reason bundle.Reason
	text   string
}{
	{bundle.ReasonEpochNew, "%d bundles are held: their sender was installed anew or restored (ask there, then ecluse-receiver pair)"},
	{bundle.ReasonSignerRevoked, "%d bundles are held: the key that signed them is not trusted any more (list --state quarantined; reject, or enrol it again)"},
	{bundle.ReasonInspector, "%d bundles are held: what looks into them failed, and is tried again (show BUNDLE says why; doctor asks the inspectors)"},
	{bundle.ReasonSequenceFork, "%d bundles were refused within a day: their sender gave one sequence to two manifests (a clone, or a restored copy, is sending: stop it; list --state refused)"},
	{bundle.ReasonSequenceRollback, "%d bundles were refused within a day: they are older than what was forgotten on purpose, or of a replaced epoch (is an old copy of the sender running? list --state refused)"},
	{bundle.ReasonContentMismatch, "%d bundles were refused within a day: what stood in quarantine was not what had been signed (look at the disk, and at who may write to it; list --state refused)"},
}

// Suspicions are the reasons that Facts.Suspect counts.
func Suspicions() []bundle.Reason {
	var list []bundle.Reason
	for _, s := range suspicions {
		list = append(list, s.reason)
	}
	return list
}

// LinksOf makes links of what the collector shows.
func LinksOf(s *collect.Snapshot) []Link {
	links := []Link{}
	for _, l := range s.Links {
		links = append(links, Link{
			Name: l.Name, PacketRate: l.PacketRate, BitRate: 8 * l.ByteRate, LastPacket: seconds(l.LastPacket), LastHeartbeat: seconds(l.LastHeartbeat),
			Packets: l.Packets, Blocks: l.Blocks, Refused: l.Refused, Lost: l.Loss, Memory: l.Memory, Probe: JudgeProbe(l.Probe),
		})
	}
	return links
}

// age says how old what arrived is.
func (r Arrival) age() string {
	age := config.Duration(whole(r.Age).Round(time.Minute))
	if r.Newest == nil {
		return fmt.Sprintf("nothing was ever delivered, for %v now", age)
	}
	return fmt.Sprintf("its newest delivery is of %s, %v ago", r.Newest.UTC().Format(time.RFC3339), age)
}

// whole gives a length of time that JSON has in seconds.
func whole(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func seconds(age time.Duration) *float64 {
	if age == collect.Never {
		return nil
	}
	s := age.Seconds()
	return &s
}
