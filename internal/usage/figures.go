package usage

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// Figures are what a tenant has used in a time.
type Figures struct {
	Bundles  int64     `json:"bundles"`
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	Link     *LinkTime `json:"link_seconds"` // nil on the high side
	ByteDays int64     `json:"byte_days"`    // of storage: a byte kept for a day
}

// LinkTime is time of the link, in nanoseconds. In JSON it is a number of seconds.
type LinkTime int64

// LinkTimeOf is what so many bytes take at a rate in bits a second.
func LinkTimeOf(bytes, rate int64) LinkTime {
	if rate <= 0 {
		return 0
	}
	n := new(big.Int).Mul(big.NewInt(bytes), big.NewInt(8*int64(time.Second)))
	return LinkTime(clamp(n.Quo(n, big.NewInt(rate))))
}

// String gives seconds.
func (l LinkTime) String() string { return formatDecimal(int64(l), 9, 0) }

// MarshalJSON gives seconds.
func (l LinkTime) MarshalJSON() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalJSON takes what MarshalJSON gives.
func (l *LinkTime) UnmarshalJSON(text []byte) error {
	whole, part, _ := strings.Cut(string(text), ".")
	if len(part) > 9 {
		return fmt.Errorf("%s is no time of a link", text)
	}
	n, ok := new(big.Int).SetString(whole+part+strings.Repeat("0", 9-len(part)), 10)
	if !ok || !n.IsInt64() || n.Sign() < 0 || LinkTime(n.Int64()).String() != string(text) {
		return fmt.Errorf("%s is no time of a link in its one form", text)
	}
	*l = LinkTime(n.Int64())
	return nil
}

// storageShift splits bytes in two for sums that shall not overflow: see ByteDays.
const storageShift = 20

// KeptSums is the end of a catalog's query: of rows kept with tenant, bytes, since and until (in seconds) it makes the two sums that ByteDays takes.
const KeptSums = `SELECT tenant, sum((bytes >> 20) * (until - since)), sum((bytes & 1048575) * (until - since)) FROM kept WHERE until > since GROUP BY tenant`

// ByteDays makes one figure of the two sums of KeptSums: of bytes >> storageShift and of the rest of bytes, each multiplied with the seconds that they were kept. An amount of a month's bytes
// times its seconds would not fit in 63 bits from 3.5 TB on.
func ByteDays(high, low int64) int64 {
	const day = 24 * 60 * 60
	n := new(big.Int).Lsh(big.NewInt(high), storageShift)
	n.Add(n, big.NewInt(low))
	return clamp(n.Quo(n, big.NewInt(day)))
}

func clamp(n *big.Int) int64 {
	if !n.IsInt64() {
		return math.MaxInt64
	}
	return n.Int64()
}

func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Plus adds what was used in two times.
func (f Figures) Plus(g Figures) Figures {
	f.Bundles, f.Files, f.Bytes, f.ByteDays = sum(f.Bundles, g.Bundles), sum(f.Files, g.Files), sum(f.Bytes, g.Bytes), sum(f.ByteDays, g.ByteDays)
	if g.Link != nil {
		link := *g.Link
		if f.Link != nil {
			link = LinkTime(sum(int64(*f.Link), int64(link)))
		}
		f.Link = &link
	}
	return f
}

// Cost is what figures cost, line by line. Each is rounded, and Total is their sum.
type Cost struct {
	Bundles Amount `json:"bundles"`
	Files   Amount `json:"files"`
	Bytes   Amount `json:"bytes"`
	Link    Amount `json:"link"`
	Storage Amount `json:"storage"`
	Total   Amount `json:"total"`
}

// The units that prices are for.
const (
	gigabyte = 1e9
	linkHour = int64(time.Hour)
	days     = 30 // of a gigabyte-month, whatever the month
)

// Of is what figures cost at these prices; nil where there are none.
func (p *Prices) Of(f Figures) *Cost {
	if p == nil || !p.Given {
		return nil
	}
	c := &Cost{
		Bundles: cost(p.Bundle, f.Bundles, 1), Files: cost(p.File, f.Files, 1), Bytes: cost(p.Gigabyte, f.Bytes, gigabyte), Storage: cost(p.GigabyteMonth, f.ByteDays, gigabyte*days),
	}
	if f.Link != nil {
		c.Link = cost(p.LinkHour, int64(*f.Link), linkHour)
	}
	c.Total = c.Bundles.plus(c.Files).plus(c.Bytes).plus(c.Link).plus(c.Storage)
	return c
}

// Plus adds two costs; nil is none.
func (c *Cost) Plus(d *Cost) *Cost {
	switch {
	case c == nil:
		return d
	case d == nil:
		return c
	}
	return &Cost{c.Bundles.plus(d.Bundles), c.Files.plus(d.Files), c.Bytes.plus(d.Bytes), c.Link.plus(d.Link), c.Storage.plus(d.Storage), c.Total.plus(d.Total)}
}
