package config

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// unit is one way to write a multiple.
type unit struct {
	name string
	size int64
}

// byteUnits are written with their exact case; the first that divides a number evenly is the one that String takes.
var byteUnits = []unit{
	{"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// Bytes is an amount of memory or of disk, from 0: "128MiB", "10GB", "1.5GiB", "4096B", "0".
type Bytes int64

// ParseBytes reads a number and a unit; a whole number without a unit is in bytes.
func ParseBytes(s string) (Bytes, error) {
	number, name := splitUnit(s)
	if name == "" {
		name = "B"
	}
	for _, u := range byteUnits {
		if strings.EqualFold(u.name, name) {
			n, err := multiple(number, u.size)
			if err != nil {
				return 0, fmt.Errorf("%q is no amount of bytes: %w", s, err)
			}
			return Bytes(n), nil
		}
	}
	return 0, fmt.Errorf("%q is no amount of bytes: write it as 128MiB, 10GB or 0", s)
}

// String gives the shortest exact form.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	best := ""
	for _, u := range byteUnits {
		if int64(b)%u.size != 0 {
			continue
		}
		if s := strconv.FormatInt(int64(b)/u.size, 10) + u.name; best == "" || len(s) < len(best) {
			best = s
		}
	}
	return best
}

// UnmarshalText reads what ParseBytes takes.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// Set and Type make a flag of it.
func (b *Bytes) Set(s string) error { return b.UnmarshalText([]byte(s)) }

// Type names the value in a command's help.
func (b *Bytes) Type() string { return "bytes" }

// FormatBytes gives an amount of bytes for people, in three digits: "1.50 GiB".
func FormatBytes(n int64) string {
	size, i := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for math.Abs(size) >= 999.5 && i+1 < len(units) {
		size, i = size/1024, i+1
	}
	return threeDigits(size, i == 0) + " " + units[i]
}

// threeDigits writes a number below 1,000; a whole one stays whole.
func threeDigits(x float64, whole bool) string {
	switch a := math.Abs(x); {
	case whole || a >= 99.95:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// splitUnit parts "1.5GiB" into "1.5" and "GiB"; a space may stand between.
func splitUnit(s string) (number, name string) {
	end := strings.IndexFunc(s, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimPrefix(s[end:], " ")
}

// multiple gives number x size exactly. What is no whole number from 0 that fits is refused.
func multiple(number string, size int64) (int64, error) {
	x, err := decimal(number)
	if err != nil {
		return 0, err
	}
	x.Mul(x, new(big.Rat).SetInt64(size))
	switch {
	case !x.IsInt():
		return 0, fmt.Errorf("it is not whole")
	case !x.Num().IsInt64():
		return 0, fmt.Errorf("it is too large")
	}
	return x.Num().Int64(), nil
}

// decimal reads digits with at most one point among them: no sign, exponent, fraction or underscore.
func decimal(number string) (*big.Rat, error) {
	whole, part, point := strings.Cut(number, ".")
	digits := func(s string) bool {
		return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
	}
	if !digits(whole) || point && !digits(part) {
		return nil, fmt.Errorf("it does not begin with a number")
	}
	x, _ := new(big.Rat).SetString(number) // it is one
	return x, nil
}
