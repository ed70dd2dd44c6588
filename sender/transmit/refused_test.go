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
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// deafSocket takes nothing for a while, and after that only half of each batch at once.
type deafSocket struct {
	*far
	mu      sync.Mutex
	until   time.Time
	refused int
}

func (d *deafSocket) Send(batch []byte, segment int) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.until) {
		d.refused++
		return 0, errors.New("network is down")
	}
	count := (len(batch) + segment - 1) / segment
	if count > 1 && d.refused%7 == 1 {
		d.refused++
		half := count / 2
		_, _ = d.far.Send(batch[:half*segment], segment)
		return half, errors.New("no buffer space")
	}
	_, _ = d.far.Send(batch, segment)
	return count, nil
}

// What the system will not take is not lost, and not called sent: it leaves when the interface is up again, each packet once.
func TestWhatTheSystemDoesNotTakeWaitsAndIsNotCalledSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan(t, fec.Facts{Rate: 100e6, MTU: 1500, Loss: 0.01, Burst: time.Millisecond, Memory: 16 << 20, Delay: 100 * time.Millisecond, IPOverhead: fec.OverheadIPv4})
		d := &deafSocket{far: newFar(t), until: time.Now().Add(30 * time.Second)}
		got := 0
		d.slices = func(s *record.Slice) {
			for _, b := range s.Data {
				got += len(b)
			}
		}
		told := 0
		var life sync.Mutex
		last, silent := map[string]time.Time{}, time.Duration(0)
		e := New(Options{
			Plan: p, Tenants: []schedule.Weight{{Tenant: "a", Weight: 1}}, Socket: d, Pacer: freePacer{time.Now()}, Batch: 16, Secrets: &secrets{}, Epoch: bundle.Epoch{1},
			Beat: func() []Appender { return []Appender{&record.Heartbeat{Clock: 1, Epoch: bundle.Epoch{1}}} },
			Alive: func(who string) {
				life.Lock()
				defer life.Unlock()
				if at, known := last[who]; known {
					silent = max(silent, time.Since(at))
				}
				last[who] = time.Now()
			},
			Loss: 0.01, Burst: time.Millisecond, Failed: func(error) error { told++; return nil },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		f := e.Open(schedule.Lane{Class: bundle.Normal})
		out := make(chan time.Time, 1)
		o := NewOut(func() { out <- time.Now() })
		frame := make([]byte, 300_000)
		began := time.Now()
		if err := f.Put(ctx, Piece{Chunk: &record.Chunk{Bundle: bundle.ID{1}, Raw: 300_000, Frame: frame, Runs: []bundle.Run{{File: 1, Length: 300_000}}}, Out: o, Content: 300_000}); err != nil {
			t.Fatal(err)
		}
		f.Close()
		o.Finish()
		at := <-out
		if took := at.Sub(began); took < 30*time.Second || took > 40*time.Second {
			t.Errorf("it is called sent after %v", took)
		}
		cancel()
		<-ended
		if len(last) != 2 || silent > 2*time.Second { // the watchdog ends what is silent for longer
			t.Errorf("of %v one was silent for %v", last, silent)
		}
		if got != len(frame) {
			t.Errorf("%d bytes came of %d", got, len(frame))
		}
		if s := e.Status(); told < 100 || s.Errors != uint64(told) || s.Packets != uint64(d.n) {
			t.Errorf("told %d times; %+v, and %d packets came", told, s, d.n)
		}
	})
}
