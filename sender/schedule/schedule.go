// Package schedule decides who goes next on the link. It is pure: it holds no clock, no queue and no bundle, only accounts.
//
// It promises three things, in this order:
//
//   - A tenant that waits gets at least its share: its weight over the sum of all configured weights, whatever others send.
//   - Within a tenant, urgent goes before normal before bulk, strictly; within a class, what was never sent goes before what
//     is sent again (later passes, repairs).
//   - A share that its tenant does not use is lost to nobody: it goes to the most urgent that waits, of any tenant; among equals,
//     to the tenant that was served least for its weight.
//
// The choice is made afresh for each block, so a small urgent bundle overtakes a large one as soon as the next block is built.
//
// How: every byte sent is earned by all tenants in proportion to their weights. The earnings of those that wait are their credit,
// the earnings of those that do not are spare. A pick is paid from the spare pool while that holds a block's worth, and from the
// tenant's own credit otherwise.
package schedule

import (
	"errors"
	"fmt"
	"math"

	"ecluse/protocol/bundle"
)

// Weight is one tenant's share of the link, relative to the other tenants' weights.
type Weight struct {
	Tenant bundle.Name
	Weight int // at least 1
}

// Lane is a queue that has something to send: one tenant, one class, and whether it was sent before.
type Lane struct {
	Tenant int          // index into the weights given to New
	Class  bundle.Class // urgent, normal or bulk
	Later  bool         // a later pass or a repair
}

// Before says whether a goes before b within one tenant.
func (a Lane) Before(b Lane) bool {
	if a.Class != b.Class {
		return a.Class < b.Class
	}
	return !a.Later && b.Later
}

// account is what one tenant has earned and not yet spent, in bytes.
type account struct {
	weight float64
	credit float64
	served float64 // bytes sent, over weight: breaks ties
}

// Scheduler holds the accounts of all tenants. It is owned by the one goroutine that builds blocks.
type Scheduler struct {
	accounts []account
	total    float64
	spare    float64
	block    float64 // bytes of one pick: the unit in which debts are bounded
	waiting  []bool  // who waits now
	before   []bool  // who waited at the pick before
	fromPool bool    // the last pick is to be paid from the spare pool
}

// MaxCredit bounds what a tenant may save up or owe, in blocks. A tenant that was blocked by its own slow disk while it had something
// waiting can catch up by this much and no more, so nobody is delayed for long by somebody else's past.
const MaxCredit = 8

// New makes the accounts. block is the number of bytes that a pick sends at the most.
// It fails on an empty list, a weight below 1 or a tenant named twice.
func New(tenants []Weight, block int) (*Scheduler, error) {
	if len(tenants) == 0 {
		return nil, errors.New("schedule: no tenant")
	}
	if block < 1 {
		return nil, fmt.Errorf("schedule: block of %d bytes", block)
	}
	s := &Scheduler{
		accounts: make([]account, len(tenants)),
		waiting:  make([]bool, len(tenants)),
		before:   make([]bool, len(tenants)),
		block:    float64(block),
	}
	seen := make(map[bundle.Name]bool, len(tenants))
	for i, t := range tenants {
		if t.Weight < 1 {
			return nil, fmt.Errorf("schedule: tenant %q has weight %d, want at least 1", t.Tenant, t.Weight)
		}
		if seen[t.Tenant] {
			return nil, fmt.Errorf("schedule: tenant %q stands twice", t.Tenant)
		}
		seen[t.Tenant] = true
		s.accounts[i].weight = float64(t.Weight)
		s.total += float64(t.Weight)
	}
	return s, nil
}

// Pick chooses among the lanes that have something ready. It returns the lane's index in ready, or false if there is none.
// What is sent for it is then reported by Charge, before the next Pick.
func (s *Scheduler) Pick(ready []Lane) (int, bool) {
	if len(ready) == 0 {
		return 0, false
	}
	s.Take(ready)
	best := 0
	for i := 1; i < len(ready); i++ {
		if s.better(ready[i], ready[best]) {
			best = i
		}
	}
	return best, true
}

// Take readies the accounts for a lane that the caller chooses among those that have something ready, whatever its turn. What is sent for it is then reported by Charge, before the next Pick.
func (s *Scheduler) Take(ready []Lane) {
	s.note(ready)
	s.fromPool = s.spare >= s.block
}

// Share is what part of the link is a tenant's, when all wait.
func (s *Scheduler) Share(tenant int) float64 { return s.accounts[tenant].weight / s.total }

// note records who waits. A tenant that comes back from waiting for nothing starts level with the least served of those that waited on,
// so that a long silence is no claim on the spare pool.
func (s *Scheduler) note(ready []Lane) {
	least := math.Inf(1)
	for _, l := range ready {
		if s.waiting[l.Tenant] {
			least = min(least, s.accounts[l.Tenant].served)
		}
	}
	s.before, s.waiting = s.waiting, s.before
	clear(s.waiting)
	for _, l := range ready {
		s.waiting[l.Tenant] = true
		if a := &s.accounts[l.Tenant]; !s.before[l.Tenant] && !math.IsInf(least, 1) {
			a.served = max(a.served, least)
		}
	}
}

// better says whether a is to be picked rather than b.
func (s *Scheduler) better(a, b Lane) bool {
	if a.Tenant == b.Tenant {
		return a.Before(b)
	}
	x, y := &s.accounts[a.Tenant], &s.accounts[b.Tenant]
	if s.fromPool {
		if a.Before(b) || b.Before(a) {
			return a.Before(b)
		}
		return x.served < y.served
	}
	if x.credit/x.weight != y.credit/y.weight {
		return x.credit/x.weight > y.credit/y.weight
	}
	return a.Before(b)
}

// Charge books the bytes that were sent for the lane that the last Pick chose.
func (s *Scheduler) Charge(l Lane, bytes int) {
	n := float64(bytes)
	limit := MaxCredit * s.block
	for i := range s.accounts {
		a := &s.accounts[i]
		earned := n * a.weight / s.total
		if s.waiting[i] {
			a.credit = min(a.credit+earned, limit)
			continue
		}
		// A tenant that waits for nothing keeps no claim and no debt: its earnings are everybody's.
		a.credit = 0
		s.spare = min(s.spare+earned, limit)
	}
	payer := &s.accounts[l.Tenant]
	payer.served += n / payer.weight
	if s.fromPool {
		s.spare -= n
		return
	}
	payer.credit = max(payer.credit-n, -limit)
}
