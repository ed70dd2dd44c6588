package udp

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkLoopback sends as fast as it can while a reader reads; lost% is what the reader's buffer did not hold.
func BenchmarkLoopback(b *testing.B) {
	for _, segment := range []int{1408 + 44, 8896 + 44} {
		for _, m := range []mode{modeGSO, modeSendmmsg, modeSingle} {
			b.Run(fmt.Sprint(segment, "/", m), func(b *testing.B) {
				s, r := pair(b, "127.0.0.1")
				s.mode.Store(int32(m))
				came := make(chan int64)
				go func() {
					views, bytes := newViews(32), int64(0)
					for {
						n, err := r.ReceiveInto(views)
						if err != nil {
							came <- bytes
							return
						}
						for i := range views[:n] {
							bytes += int64(views[i].N)
						}
					}
				}()
				batch := make([]byte, BatchSegments(segment)*segment)
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Send(batch, segment); err != nil {
						b.Fatal(err)
					}
				}
				elapsed := b.Elapsed()
				time.Sleep(50 * time.Millisecond)
				_ = r.Close()
				got, sent := <-came, int64(b.N)*int64(len(batch))
				b.ReportMetric(float64(got)*8/elapsed.Seconds()/1e9, "Gbit/s")
				b.ReportMetric(100*float64(sent-got)/float64(sent), "lost%")
			})
		}
	}
}

// BenchmarkPaced sends at a rate; share% is what left of what the link would have taken.
func BenchmarkPaced(b *testing.B) {
	for _, rate := range []int64{1e6, 100e6, 900e6, 5e9} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			s, r := pair(b, "127.0.0.1")
			_ = r.Close()
			p := NewPacer(rate, nil)
			batch := make([]byte, p.Batch(1440)*1440)
			start := p.Now()
			for b.Loop() {
				if err := p.Wait(b.Context(), p.Next(p.Now(), len(batch))); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Send(batch, 1440); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(100*float64(b.N-1)*float64(len(batch))*8e9/float64(rate)/float64(p.Now()-start), "share%")
		})
	}
}
