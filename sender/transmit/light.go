package transmit

import (
	"maps"
	"slices"
	"sync/atomic"

	"ecluse/protocol/fec"
	"ecluse/sender/schedule"
)

// light knows which tenants have used less than their share of the link of late: those that have a little now and then, beside others that fill it. What they send is Express.
//
// Every byte of the wire that a tenant takes is a debt, and time pays it, at the tenant's share of the link's rate. Who owes its share of a full block is heavy, and stays so until all is
// paid, it has nothing more to send, and nothing of it is in the window: of several that fill the link each pays as fast as it borrows, and none becomes light in turn. One goroutine owns it.
type light struct {
	now   func() int64 // nanoseconds of any monotonic clock
	share func(tenant int) float64
	rate  float64 // bytes of the wire in a nanosecond
	block float64 // what a full block takes of the wire, bytes
	most  float64 // what all may owe: what the link sends in a window. Nobody is held to its past for longer
	debts map[int]*debt
}

type debt struct {
	bytes  float64
	at     int64 // when it was that
	heavy  bool
	window atomic.Int64 // bulk blocks in flight with something of the tenant; the link counts down
}

// newLight takes what a packet costs on the wire, in bytes, the shares of the tenants, and a clock.
func newLight(p *fec.Plan, packet int, share func(tenant int) float64, now func() int64) light {
	l := light{now: now, share: share, rate: float64(p.Facts.Rate) / 8e9, block: float64((p.K + p.M) * packet), debts: make(map[int]*debt)}
	l.most = max(l.block, l.rate*float64(p.WindowTime))
	return l
}

// is says whether a tenant is light.
func (l *light) is(tenant int) bool {
	d := l.debts[tenant]
	return d == nil || !d.heavy
}

// owes is what a tenant has not paid yet, bytes of the wire.
func (l *light) owes(tenant int) float64 {
	d := l.debts[tenant]
	if d == nil {
		return 0
	}
	l.pay(tenant, d)
	return d.bytes
}

// sent books what a tenant has taken of the wire. Who had more than fits an express block has more than a little: else what it sends next overtook that.
func (l *light) sent(tenant int, bytes float64, express bool) {
	d := l.debt(tenant)
	l.pay(tenant, d)
	share := l.share(tenant)
	d.bytes = min(d.bytes+bytes, share*l.most)
	d.heavy = d.heavy || !express || d.bytes >= share*l.block
}

// window counts one more bulk block with something of a tenant, and is where that is counted down.
func (l *light) window(tenant int) *atomic.Int64 {
	d := l.debt(tenant)
	d.window.Add(1)
	return &d.window
}

// tooLarge notes that a tenant has a record that no express block holds.
func (l *light) tooLarge(tenant int) { l.debt(tenant).heavy = true }

// debt is what stands of a tenant, which may be nothing yet.
func (l *light) debt(tenant int) *debt {
	d := l.debts[tenant]
	if d == nil {
		d = &debt{at: l.now()}
		l.debts[tenant] = d
	}
	return d
}

// pay takes off a debt what its tenant's share of the link has paid since.
func (l *light) pay(tenant int, d *debt) {
	now := l.now()
	d.bytes -= l.share(tenant) * l.rate * float64(now-d.at)
	d.bytes, d.at = max(d.bytes, 0), now
}

// look is told what waits, and forgets the debts that are paid, of tenants of which nothing does.
func (l *light) look(waiting []schedule.Lane) {
	maps.DeleteFunc(l.debts, func(tenant int, d *debt) bool {
		l.pay(tenant, d)
		return d.bytes == 0 && d.window.Load() == 0 && !slices.ContainsFunc(waiting, func(w schedule.Lane) bool { return w.Tenant == tenant })
	})
}
