package transmit

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/internal/udp"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// What a tenant has now and then, and little of, waits neither for the window that another keeps full, nor for a full block, nor for prompt blocks that take the link as long.
func TestALightTenantWaitsForNobodysFlood(t *testing.T) {
	facts := fec.Facts{Rate: 50e6, MTU: 1500, Loss: 0.001, Burst: time.Millisecond}
	for _, row := range []struct {
		name  string
		chunk int // bytes of each that the other tenant floods the link with
		pause time.Duration
	}{
		{"of a window that is always full", 1 << 20, 0},
		{"of blocks that leave promptly", 640 << 10, 60 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFar(t)
			came := make(chan time.Time, 1)
			var whole atomic.Int64
			f.slices = func(s *record.Slice) {
				if s.Bundle == (bundle.ID{2}) {
					for _, d := range s.Data {
						if whole.Add(int64(len(d))) == int64(s.Frame) {
							came <- time.Now()
						}
					}
				}
			}
			p := plan(t, facts)
			e := startPaced(t, f, p, udp.NewPacer(facts.Rate, nil), nil)
			ctx, cancel := context.WithCancel(t.Context())
			var flooding sync.WaitGroup
			flooding.Go(func() {
				feed := e.Open(schedule.Lane{Tenant: 0, Class: bundle.Normal})
				defer feed.Close()
				for i := uint32(0); feed.Put(ctx, chunk(1, i, row.chunk)) == nil; i++ {
					time.Sleep(row.pause)
				}
			})
			defer flooding.Wait()
			defer cancel()
			feed := e.Open(schedule.Lane{Tenant: 1, Class: bundle.Normal})
			defer feed.Close()
			time.Sleep(2 * p.WindowTime)
			const size = 100 << 10
			var all []time.Duration
			for i := range uint32(15) {
				whole.Store(0)
				began := time.Now()
				if err := feed.Put(ctx, chunk(2, i, size)); err != nil {
					t.Fatal(err)
				}
				select {
				case at := <-came:
					all = append(all, at.Sub(began))
				case <-time.After(10 * time.Second):
					t.Fatal("it never came")
				}
				time.Sleep(50 * time.Millisecond)
			}
			slices.Sort(all)
			if most := all[len(all)*4/5]; most > p.WindowTime/8 { // the machine has its share in the slowest
				t.Errorf("100 KiB took %v beside a flood, with a window of %v: %v", most, p.WindowTime, all)
			}
		})
	}
}

func chunk(id byte, number uint32, size int) Piece {
	return Piece{Chunk: &record.Chunk{Bundle: bundle.ID{id}, Number: number, Raw: uint32(size), Runs: []bundle.Run{{File: 1, Length: uint32(size)}}, Frame: make([]byte, size)}}
}

func TestWhoIsLight(t *testing.T) {
	p := plan(t, fec.Facts{Rate: 100e6, MTU: 1500, Loss: 0.001, Burst: time.Millisecond})
	const packet = 1500
	block := float64((p.K + p.M) * packet)
	blockTime := time.Duration(block / 100e6 * 8e9)
	var now time.Duration
	l := newLight(p, packet, func(int) float64 { return 0.5 }, func() int64 { return int64(now) })
	is := func(want bool, why string) {
		t.Helper()
		if got := l.is(1); got != want {
			t.Errorf("%s: light is %v", why, got)
		}
	}
	idle, waiting := []schedule.Lane{{Tenant: 2}}, []schedule.Lane{{Tenant: 1}, {Tenant: 2}}

	is(true, "who has sent nothing")
	l.sent(1, 0.49*block, true)
	is(true, "who owes less than its share of a block")
	l.sent(1, 0.02*block, true)
	is(false, "who owes more")
	if got := l.owes(1); got != 0.51*block {
		t.Errorf("it owes %v, want %v", got, 0.51*block)
	}
	now += blockTime
	l.look(waiting)
	is(false, "who has less to pay, and not nothing")
	now += blockTime
	l.look(waiting)
	is(false, "who has paid all, and has more to send already")
	l.look(idle)
	is(true, "who has paid all, and has nothing more")

	l.sent(1, 0.1*block, false)
	is(false, "who had too much for an express block")
	now += blockTime
	l.look(idle)
	is(true, "who has paid that")

	l.sent(1, 100*block, true)
	now += p.WindowTime - time.Microsecond
	l.look(idle)
	is(false, "who sent a hundred blocks within less than a window")
	now += 2 * time.Microsecond
	l.look(idle)
	is(true, "who sent a hundred blocks a window ago")

	bulk := l.window(1)
	l.sent(1, 0.1*block, false)
	now += 10 * p.WindowTime
	l.look(idle)
	is(false, "who has something in the window, however late that is")
	bulk.Add(-1)
	l.look(idle)
	is(true, "when that has left")

	l.tooLarge(1)
	is(false, "who has a record that no express block holds")
	l.look(idle)

	for range 100 { // two that fill the link in turn
		now += 2 * blockTime
		l.sent(1, block, true)
		l.look(waiting)
		is(false, "who takes half of the link and always has more")
	}
}
