package config

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Percent is a part of a whole, from 0 to 1: "1%", "0.5%", or as a fraction below one, "0.01".
type Percent float64

// ParsePercent reads a percentage or a fraction. A plain number from 1 is refused: it could mean either.
func ParsePercent(s string) (Percent, error) {
	number, percent := strings.CutSuffix(s, "%")
	x, err := decimal(strings.TrimSuffix(number, " "))
	if err != nil {
		return 0, fmt.Errorf("%q is no part of a whole: write it as 1%% or 0.01", s)
	}
	one := big.NewRat(1, 1)
	if percent {
		x.Quo(x, big.NewRat(100, 1))
	} else if x.Cmp(one) >= 0 {
		return 0, fmt.Errorf("%q could be a percentage or a fraction: write %s%% where that is meant", s, s)
	}
	if x.Cmp(one) > 0 {
		return 0, fmt.Errorf("%q is more than the whole", s)
	}
	part, _ := x.Float64()
	return Percent(part), nil
}

// String gives the shortest percentage that reads as the same number.
func (p Percent) String() string {
	for digits := 0; digits < 20; digits++ {
		s := strconv.FormatFloat(float64(p)*100, 'f', digits, 64) + "%"
		if back, err := ParsePercent(s); err == nil && back == p {
			return s
		}
	}
	return strconv.FormatFloat(float64(p)*100, 'g', -1, 64) + "%"
}

// UnmarshalText reads what ParsePercent takes.
func (p *Percent) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePercent(string(text))
	return err
}

// Set and Type make a flag of it.
func (p *Percent) Set(s string) error { return p.UnmarshalText([]byte(s)) }

// Type names the value in a command's help.
func (p *Percent) Type() string { return "percent" }

// Size is an amount of a disk: either bytes ("10GB") or a part of the whole ("5%"). One of its fields is zero.
type Size struct {
	Bytes Bytes
	Part  Percent
}

// ParseSize reads a percentage, or what ParseBytes takes.
func ParseSize(s string) (size Size, err error) {
	if strings.HasSuffix(s, "%") {
		size.Part, err = ParsePercent(s)
		return size, err
	}
	if size.Bytes, err = ParseBytes(s); err != nil {
		return Size{}, fmt.Errorf("%q is neither an amount of bytes (10GB) nor a part of the disk (5%%)", s)
	}
	return size, nil
}

// Of gives the bytes that are meant on a disk of a size.
func (s Size) Of(whole int64) int64 {
	if s.Part != 0 {
		return int64(float64(s.Part) * float64(whole))
	}
	return int64(s.Bytes)
}

// String gives the shortest exact form.
func (s Size) String() string {
	if s.Part != 0 {
		return s.Part.String()
	}
	return s.Bytes.String()
}

// UnmarshalText reads what ParseSize takes.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}
