package collect

import (
	"time"

	"ecluse/protocol/bundle"
)

// Never is the age of what has not happened yet.
const Never = time.Duration(-1)

// Snapshot is what status and metrics show: counts since the start, and what stands now.
type Snapshot struct {
	Links    []LinkSnapshot
	Sessions []OpenSession
	Refused  []Refusal // sessions
}

// OpenSession is a session whose packets are let in.
type OpenSession struct {
	SessionInfo        // Link is empty
	Accepted    uint64 // packets on all links
	Bytes       uint64 // their datagrams
	Lost        uint64 // packets
}

// LinkSnapshot is one link. Ages are by the monotonic clock, Never for what has not happened.
type LinkSnapshot struct {
	Name          string
	Alive         time.Duration // since the drain last came round; it does so each second at least
	LastPacket    time.Duration // since the last packet that opened and was new
	LastHeartbeat time.Duration // since Collector.Heartbeat was called
	PacketRate    float64       // accepted packets a second, over the last seconds
	ByteRate      float64       // bytes of their datagrams a second
	Packets       PacketCounts
	Blocks        BlockCounts
	Refused       map[bundle.Reason]uint64 // packets by reason; only what is not 0
	Loss          Loss
	Memory        Memory
	Probe         *ProbeRun // the newest; nil for none
}

// Loss says where packets were lost. What was lost in all follows from the packet numbers; forged or damaged packets are not in it
// unless honest ones are missing for them.
type Loss struct {
	Lost   uint64 `json:"lost"`   // in all; Kernel, Queue and Link add up to it
	Kernel uint64 `json:"kernel"` // in this host, because the socket's buffer was full
	Queue  uint64 `json:"queue"`  // in this process, because the collector was behind
	Link   uint64 `json:"link"`   // the rest
	// KernelDrops and QueueDrops are the raw counts: what the kernel threw away (several datagrams may count as one), and datagrams of any kind
	// that found the queue full.
	KernelDrops uint64 `json:"kernel_drops"`
	QueueDrops  uint64 `json:"queue_drops"`
}

// Memory is the memory for blocks, in bytes.
type Memory struct {
	Budget   int `json:"budget"`
	Used     int `json:"used"`     // slots that hold shards
	Resident int `json:"resident"` // what the system may have given for them
	Blocks   int `json:"blocks"`   // in progress
	Waiting  int `json:"waiting"`  // complete, and not done yet
}

// Snapshot looks. It may be called at any time, also after Run has ended.
func (c *Collector) Snapshot() Snapshot {
	var s Snapshot
	now := c.clock()
	sums := make(map[*Session]*OpenSession)
	for _, l := range c.links {
		s.Links = append(s.Links, l.snapshot(now, sums))
	}
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, open := range g.sessions.all() {
		row := OpenSession{SessionInfo: open.Info}
		if sum := sums[open]; sum != nil {
			row.Accepted, row.Bytes, row.Lost = sum.Accepted, sum.Bytes, sum.Lost
		}
		s.Sessions = append(s.Sessions, row)
	}
	s.Refused = g.refused.all()
	return s
}

func (l *link) snapshot(now int64, sums map[*Session]*OpenSession) LinkSnapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table
	s := LinkSnapshot{
		Name:          l.name,
		Alive:         age(now, l.alive.Load()),
		LastPacket:    age(now, t.lastNew),
		LastHeartbeat: age(now, l.heartbeat),
		Packets:       t.packets,
		Blocks:        t.outcome,
		Refused:       make(map[bundle.Reason]uint64),
		Loss:          l.loss(),
		Probe:         t.probe.snapshot(),
		Memory: Memory{
			Budget:   len(t.arena.mem),
			Used:     t.arena.used,
			Resident: t.arena.residentBytes(),
			Blocks:   t.blocks,
			Waiting:  t.held,
		},
	}
	s.PacketRate, s.ByteRate = l.rates.perSecond(now, t.packets.Accepted, t.packets.Bytes)
	for i, n := range t.refused {
		if n > 0 {
			s.Refused[packetReasons[i]] = n
		}
	}
	for _, c := range t.channels {
		sum := sums[c.session]
		if sum == nil {
			sum = new(OpenSession)
			sums[c.session] = sum
		}
		sum.Accepted += c.accepted
		sum.Bytes += c.bytes
		sum.Lost += c.lost()
	}
	return s
}

// loss gives each lost packet an address. The kernel counts what it drops by buffers, in which several datagrams may have come
// together; the mean of the buffers that were read says how many.
func (l *link) loss() Loss {
	t := l.table
	loss := Loss{Lost: t.lost(), KernelDrops: l.socket.Dropped(), QueueDrops: l.overrun.Load()}
	perBuffer := 1.0
	if kept := l.buffers.Load() - l.overrunRead.Load(); kept > 0 {
		perBuffer = max(1, float64(t.packets.Received)/float64(kept))
	}
	loss.Queue = min(loss.Lost, loss.QueueDrops)
	loss.Kernel = min(loss.Lost-loss.Queue, uint64(float64(loss.KernelDrops)*perBuffer))
	loss.Link = loss.Lost - loss.Queue - loss.Kernel
	return loss
}

// age is the time since a mark of the clock, Never where there is none. A mark that was set while somebody looked is no older than now.
func age(now, mark int64) time.Duration {
	if mark == 0 {
		return Never
	}
	return time.Duration(max(0, now-mark))
}

// rateSamples is the number of seconds over which rates are taken.
const rateSamples = 5

// rates remembers the counts of the last seconds.
type rates struct {
	samples [rateSamples]sample
	next    int
}

type sample struct {
	at             int64 // 0 for none
	packets, bytes uint64
}

func (r *rates) note(now int64, packets, bytes uint64) {
	r.samples[r.next] = sample{now, packets, bytes}
	r.next = (r.next + 1) % len(r.samples)
}

// perSecond compares the counts of now with those of the oldest sample.
func (r *rates) perSecond(now int64, packets, bytes uint64) (p, b float64) {
	for i := range r.samples {
		old := r.samples[(r.next+i)%len(r.samples)]
		if old.at != 0 && old.at < now {
			seconds := float64(now-old.at) / float64(time.Second)
			return float64(packets-old.packets) / seconds, float64(bytes-old.bytes) / seconds
		}
	}
	return 0, 0
}
