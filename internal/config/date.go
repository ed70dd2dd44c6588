package config

import (
	"fmt"
	"time"
)

// Date is a day by UTC: 2027-12-31. The zero Date is none.
type Date struct{ day time.Time }

const dateForm = "2006-01-02"

// ParseDate reads a day.
func ParseDate(s string) (Date, error) {
	at, err := time.Parse(dateForm, s)
	if err != nil || at.Year() < 1 {
		return Date{}, fmt.Errorf("%q is no day: write it as 2027-12-31", s)
	}
	return Date{at}, nil
}

// IsZero says that there is none.
func (d Date) IsZero() bool { return d.day.IsZero() }

// End is the moment at which the day is over.
func (d Date) End() time.Time { return d.day.AddDate(0, 0, 1) }

// String gives what ParseDate reads, and nothing for none.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.day.Format(dateForm)
}

// UnmarshalText reads what ParseDate takes.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// MarshalText gives what UnmarshalText reads.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
