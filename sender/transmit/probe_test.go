package transmit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
)

// probed is the other side: it counts what comes of probes, and what else.
type probed struct {
	*far
	mu    sync.Mutex
	steps map[uint16][]uint32 // indices
	runs  map[uint32]bool
}

func (p *probed) Send(batch []byte, segment int) (int, error) {
	if kind, _, err := packet.Classify(batch[:min(segment, len(batch))]); err != nil || kind != packet.KindProbe {
		return p.far.Send(batch, segment)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; len(batch) > 0; batch = batch[segment:] {
		x, number, err := p.opener.OpenProbe(make([]byte, 0, segment), batch[:segment])
		if err != nil || p.numbers[number] {
			p.t.Errorf("number %d: %v", number, err)
		}
		p.far.mu.Lock()
		p.numbers[number] = true
		p.far.mu.Unlock()
		p.runs[x.Run] = true
		p.steps[x.Step] = append(p.steps[x.Step], x.Index)
	}
	return 1, nil
}

// P-10: a probe sends each step whole and in order, heartbeats go on beside it, and what waits goes on behind it.
func TestAProbeSendsItsStepsAndHeartbeatsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan(t, fec.Facts{Rate: 100e6, MTU: 1500, Loss: 0.01, Burst: time.Millisecond, Memory: 16 << 20, Delay: 100 * time.Millisecond, IPOverhead: fec.OverheadIPv4})
		f := &probed{far: newFar(t), steps: map[uint16][]uint32{}, runs: map[uint32]bool{}}
		beats := 0
		f.far.other = func(x record.Record) { beats++ }
		e := start(t, f, p, func() []Appender { return []Appender{&record.Heartbeat{Clock: 1, Epoch: bundle.Epoch{1}}} })
		steps, err := ProbeSteps(4, 80e6, 2*time.Second, p.Shard+packet.Overhead+28, func(rate int64) (Pacer, int) { return &slowPacer{rate: rate, start: time.Now()}, 8 })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		second := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			second <- e.Probe(t.Context(), steps)
		}()
		began := time.Now()
		if err := e.Probe(t.Context(), steps); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if err := <-second; !errors.Is(err, ErrProbing) {
			t.Errorf("a second probe beside the first: %v", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.steps) != 4 || len(f.runs) != 1 {
			t.Fatalf("%d steps of %d runs came", len(f.steps), len(f.runs))
		}
		for i, s := range steps {
			got := f.steps[uint16(i)]
			if len(got) != int(s.Packets) {
				t.Errorf("step %d: %d packets of %d", i, len(got), s.Packets)
			}
			for n, index := range got {
				if index != uint32(n) {
					t.Fatalf("step %d: packet %d comes as number %d", i, index, n)
				}
			}
		}
		if took < 8*time.Second || took > 10*time.Second {
			t.Errorf("four steps of two seconds took %v", took)
		}
		if beats < 7 {
			t.Errorf("%d heartbeats in %v", beats, took)
		}
	})
}

func TestAProbeThatNobodyWaitsForIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan(t, fec.Facts{Rate: 100e6, MTU: 1500, Loss: 0.01, Burst: time.Millisecond, Memory: 16 << 20, Delay: 100 * time.Millisecond, IPOverhead: fec.OverheadIPv4})
		f := &probed{far: newFar(t), steps: map[uint16][]uint32{}, runs: map[uint32]bool{}}
		e := start(t, f, p, nil)
		steps, err := ProbeSteps(1, 1e6, time.Hour, p.Shard+packet.Overhead+28, func(rate int64) (Pacer, int) { return &slowPacer{rate: rate, start: time.Now()}, 1 })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := e.Probe(ctx, steps); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		if err := e.Probe(t.Context(), steps[:0]); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

func TestProbesThatCannotBeAreRefused(t *testing.T) {
	pacer := func(int64) (Pacer, int) { return freePacer{}, 1 }
	for name, x := range map[string]struct {
		count int
		upTo  int64
		each  time.Duration
	}{
		"no steps": {0, 1e9, time.Second}, "too many steps": {65, 1e9, time.Second}, "no packet in a step": {10, 1e6, time.Millisecond}, "too many packets": {1, 1e12, time.Hour},
		"no rate": {10, 0, time.Second},
	} {
		if _, err := ProbeSteps(x.count, x.upTo, x.each, 1500, pacer); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// slowPacer keeps a rate by the bubble's clock.
type slowPacer struct {
	rate  int64
	start time.Time
	next  int64
}

func (p *slowPacer) Now() int64 { return int64(time.Since(p.start)) }
func (p *slowPacer) Next(now int64, bytes int) int64 {
	departure := max(now, p.next)
	p.next = departure + int64(bytes)*8*int64(time.Second)/p.rate
	return departure
}
func (p *slowPacer) Wait(ctx context.Context, departure int64) error {
	if d := departure - p.Now(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	return ctx.Err()
}
