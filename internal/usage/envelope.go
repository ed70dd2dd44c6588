package usage

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"ecluse/internal/config"
)

// Used is what a tenant has used of what an envelope bounds.
type Used struct {
	Bytes int64
	Cost  Amount
}

// Plus adds what was used.
func (u Used) Plus(v Used) Used { return Used{sum(u.Bytes, v.Bytes), u.Cost.plus(v.Cost)} }

// UsedOf is what figures and their cost use.
func UsedOf(f Figures, c *Cost) Used {
	u := Used{Bytes: f.Bytes}
	if c != nil {
		u.Cost = c.Total
	}
	return u
}

// Standing is how an envelope stands.
type Standing struct {
	Tenant    string     `json:"tenant"`
	From      Month      `json:"from"`    // the first month of the year
	Through   Month      `json:"through"` // the last
	Bound     string     `json:"bound"`   // bytes or cost: the one that is nearer to its end
	Bytes     int64      `json:"bytes"`
	BytesMost int64      `json:"bytes_envelope"` // 0: no bound
	Cost      *Amount    `json:"cost"`
	CostMost  Amount     `json:"cost_envelope"`
	Share     float64    `json:"share"`     // of Bound, that is used: 1 is all of it
	YearEnd   float64    `json:"year_end"`  // what the share will be at the year's end, at the present rate
	Exhausted *time.Time `json:"exhausted"` // when nothing is left at the present rate; nil: not in this year
	Warned    float64    `json:"warned"`    // the highest share of warn: that is reached; 0 for none
	Stop      bool       `json:"stop"`
	Full      bool       `json:"full"` // nothing is left
}

// rateMonths is how many months before the present one a rate is made of, where there are so many: what is linear over them is not upset by a new year, nor by one large bundle.
const rateMonths = 3

// Stand says how an envelope stands at a time. of gives what was used in a month, and first is the first month on record: it was hardly whole, and says nothing of a rate where there are others.
func (e *Envelope) Stand(tenant string, now time.Time, first Month, of func(Month) Used) Standing {
	this := MonthOf(now)
	s := Standing{Tenant: tenant, From: this.Year(e.Begins), BytesMost: int64(e.Bytes), CostMost: e.Cost, Stop: e.Stop}
	s.Through = s.From + 11
	var used Used
	for m := s.From; m <= this; m++ {
		used = used.Plus(of(m))
	}
	s.Bytes = used.Bytes
	if e.Cost > 0 {
		s.Cost = &used.Cost
	}
	from := this - rateMonths
	if from <= first {
		from = min(first+1, this)
	}
	var lately Used
	for m := from; m <= this; m++ {
		lately = lately.Plus(of(m))
	}
	elapsed, left := now.Sub(from.Start()), s.Through.End().Sub(now)
	for _, b := range []struct {
		name               string
		used, lately, most int64
	}{{"bytes", used.Bytes, lately.Bytes, int64(e.Bytes)}, {"cost", int64(used.Cost), int64(lately.Cost), int64(e.Cost)}} {
		if b.most <= 0 {
			continue
		}
		share := ratio(b.used, b.most)
		end := share + ratio(b.lately, b.most)*float64(left)/float64(max(elapsed, time.Second))
		gone := exhausted(now, b.used, b.lately, b.most, elapsed)
		if s.Bound == "" || share > s.Share {
			s.Bound, s.Share = b.name, share
		}
		s.YearEnd = max(s.YearEnd, end)
		s.Full = s.Full || b.used >= b.most
		if gone != nil && gone.Before(s.Through.End()) && (s.Exhausted == nil || gone.Before(*s.Exhausted)) {
			s.Exhausted = gone
		}
	}
	for _, w := range e.Warn {
		if s.Share >= float64(w) {
			s.Warned = max(s.Warned, float64(w))
		}
	}
	return s
}

func ratio(a, b int64) float64 {
	f, _ := new(big.Rat).SetFrac64(a, b).Float64()
	return f
}

// exhausted is when nothing is left at the rate of late; nil where that is not in sight.
func exhausted(now time.Time, used, lately, most int64, elapsed time.Duration) *time.Time {
	if used >= most {
		at := now.UTC().Truncate(time.Second)
		return &at
	}
	if lately <= 0 {
		return nil
	}
	seconds := new(big.Int).Mul(big.NewInt(most-used), big.NewInt(int64(max(elapsed, time.Second)/time.Second)))
	seconds.Quo(seconds, big.NewInt(lately))
	if !seconds.IsInt64() || seconds.Int64() > 2*366*24*60*60 { // a year holds no more
		return nil
	}
	at := now.UTC().Truncate(time.Second).Add(time.Duration(seconds.Int64()) * time.Second)
	return &at
}

// Left says whether more fits: bytes, beside what is used already and bytes that are on their way. Of cost nobody knows before what a bundle will take.
func (s *Standing) Left(coming, bytes int64) error {
	switch {
	case s.CostMost > 0 && s.Cost != nil && *s.Cost >= s.CostMost:
		return fmt.Errorf("the cost of the year from %v is %v, and its envelope is %v", s.From, *s.Cost, s.CostMost)
	case s.BytesMost > 0 && sum(sum(s.Bytes, coming), bytes) > s.BytesMost:
		return fmt.Errorf("%d bytes beside %d of the year from %v and %d on their way are more than its envelope of %v", bytes, s.Bytes, s.From, coming, config.Bytes(s.BytesMost))
	}
	return nil
}

// Alarm is what there is to say of an envelope of which a share of warn: is reached; "" where there is nothing.
func (s *Standing) Alarm() string {
	if s.Warned == 0 && !s.Full {
		return ""
	}
	amounts := config.FormatBytes(s.Bytes) + " of " + config.FormatBytes(s.BytesMost)
	if s.Bound == "cost" {
		amounts = fmt.Sprintf("%v of %v", *s.Cost, s.CostMost)
	}
	text := fmt.Sprintf("tenant %s: %.0f%% of the envelope of the year from %v is used (%s)", s.Tenant, s.Share*100, s.From, amounts)
	switch {
	case s.Full && s.Stop:
		return text + ": nothing more of it is taken (raise envelope: of the tenant, or wait for the next year)"
	case s.Full:
		return text + " (raise envelope: of the tenant, or talk to it)"
	case s.Exhausted != nil:
		return text + ": at the rate of the last months nothing is left on " + s.Exhausted.Format("2006-01-02")
	}
	return text + ": at the rate of the last months it lasts the year"
}

// sorted gives tenants in order.
func sorted[V any](m map[string]V) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
