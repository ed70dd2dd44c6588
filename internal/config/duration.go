package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Duration is a length of time from 0: Go's forms ("10s", "1h30m", "0"), and days before them ("7d", "400d", "1d12h"). A day has 24 hours.
type Duration time.Duration

// ParseDuration reads a length of time.
func ParseDuration(s string) (Duration, error) {
	d, err := parseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no length of time: %w", s, err)
	}
	return Duration(d), nil
}

func parseDuration(s string) (total time.Duration, err error) {
	rest := s
	if days, after, ok := strings.Cut(s, "d"); ok {
		x, err := decimal(days)
		if err != nil {
			return 0, err
		}
		if x.Cmp(big.NewRat(36500, 1)) > 0 {
			return 0, errors.New("it is longer than 100 years")
		}
		whole := x.Mul(x, new(big.Rat).SetInt64(int64(day)))
		part, _ := whole.Float64()
		total, rest = time.Duration(part), after
	}
	if rest == "" && s != "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	switch {
	case err != nil:
		return 0, errors.New("write it as 10ms, 2s, 1h30m or 7d")
	case d < 0 || strings.HasPrefix(rest, "+") || strings.HasPrefix(rest, "-"):
		return 0, errors.New("it has a sign")
	case d > math.MaxInt64-total:
		return 0, errors.New("it is too long")
	}
	return total + d, nil
}

// String gives days where there is a whole number of them, else Go's form without its zeroes.
func (d Duration) String() string {
	t := time.Duration(d)
	if t != 0 && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Std gives the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalText reads what ParseDuration takes.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Set and Type make a flag of it.
func (d *Duration) Set(s string) error { return d.UnmarshalText([]byte(s)) }

// Type names the value in a command's help.
func (d *Duration) Type() string { return "duration" }
