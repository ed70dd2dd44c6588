package usage

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Price is what one of something costs, in billionths of the currency. It is written as a decimal: "0.12".
type Price int64

// Amount is a sum of money in hundredths of the currency. It is written with two decimals: "12.34".
type Amount int64

const (
	priceDigits  = 9
	amountDigits = 2
	priceWhole   = 9  // digits before the point: so it fits in 63 bits
	amountWhole  = 17 // the same, where the last does not always
)

// ParsePrice reads a price of up to nine decimals.
func ParsePrice(s string) (Price, error) {
	n, err := parseDecimal(s, priceWhole, priceDigits)
	return Price(n), err
}

// ParseAmount reads an amount of up to two decimals.
func ParseAmount(s string) (Amount, error) {
	n, err := parseDecimal(s, amountWhole, amountDigits)
	return Amount(n), err
}

// parseDecimal reads digits with at most one point among them, and no sign, exponent or separator.
func parseDecimal(s string, before, behind int) (int64, error) {
	whole, part, point := strings.Cut(s, ".")
	isDigits := func(s string, most int) bool {
		return s != "" && len(s) <= most && strings.Trim(s, "0123456789") == ""
	}
	if !isDigits(whole, before) || point && !isDigits(part, behind) {
		return 0, fmt.Errorf("%q is no amount: write digits, up to %d of them and up to %d behind a point", s, before, behind)
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", behind-len(part)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is too large an amount", s)
	}
	return n, nil
}

func formatDecimal(n int64, digits, least int) string {
	s := fmt.Sprintf("%0*d", digits+1, n)
	whole, part := s[:len(s)-digits], s[len(s)-digits:]
	for len(part) > least && part[len(part)-1] == '0' {
		part = part[:len(part)-1]
	}
	if part == "" {
		return whole
	}
	return whole + "." + part
}

// String gives the shortest form.
func (p Price) String() string { return formatDecimal(int64(p), priceDigits, 0) }

// MarshalText gives what String does.
func (p Price) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes what ParsePrice takes.
func (p *Price) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrice(string(text))
	return err
}

// String gives two decimals.
func (a Amount) String() string { return formatDecimal(int64(a), amountDigits, amountDigits) }

// MarshalText gives what String does.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText takes what ParseAmount takes.
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAmount(string(text))
	return err
}

// plus adds two amounts. What is more than there are hundredths to count with stays the most.
func (a Amount) plus(b Amount) Amount {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// cost is so many things at a price for each unit of them, rounded to hundredths, half up.
func cost(p Price, things, unit int64) Amount {
	const hundredth = 1e9 / 100 // in billionths
	n := new(big.Int).Mul(big.NewInt(int64(p)), big.NewInt(things))
	d := new(big.Int).Mul(big.NewInt(hundredth), big.NewInt(unit))
	n.Lsh(n, 1).Add(n, d)
	n.Quo(n, d.Lsh(d, 1))
	if !n.IsInt64() {
		return math.MaxInt64
	}
	return Amount(n.Int64())
}
