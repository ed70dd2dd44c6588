package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// rateUnits are decimal, as those of links are.
var rateUnits = []unit{{"Tbit", 1e12}, {"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// Rate is the speed of a link in bits a second, from 0: "900Mbit", "9Gbit", "1.5Gbit".
type Rate int64

// ParseRate reads a number and a unit, which may end in /s.
func ParseRate(s string) (Rate, error) {
	number, name := splitUnit(s)
	for _, u := range rateUnits {
		if strings.EqualFold(u.name, strings.TrimSuffix(name, "/s")) {
			n, err := multiple(number, u.size)
			if err != nil {
				return 0, fmt.Errorf("%q is no rate: %w", s, err)
			}
			return Rate(n), nil
		}
	}
	return 0, fmt.Errorf("%q is no rate: write bits a second, as 900Mbit or 9Gbit", s)
}

// String gives the shortest exact form.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if r != 0 && int64(r)%u.size == 0 {
			return strconv.FormatInt(int64(r)/u.size, 10) + u.name
		}
	}
	return "0bit"
}

// UnmarshalText reads what ParseRate takes.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// Set and Type make a flag of it.
func (r *Rate) Set(s string) error { return r.UnmarshalText([]byte(s)) }

// Type names the value in a command's help.
func (r *Rate) Type() string { return "rate" }

// FormatRate gives bits a second for people, in three digits: "9.21 Gbit/s".
func FormatRate(bits float64) string {
	units, i := []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"}, 0
	for math.Abs(bits) >= 999.5 && i+1 < len(units) {
		bits, i = bits/1000, i+1
	}
	return threeDigits(bits, i == 0) + " " + units[i]
}
