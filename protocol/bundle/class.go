package bundle

import "fmt"

// Class says how pressing a bundle is; within a tenant a lower class goes first.
type Class uint8

// The classes of an offer.
const (
	Urgent Class = 1
	Normal Class = 2
	Bulk   Class = 3
)

// ParseClass reads "urgent", "normal" or "bulk".
func ParseClass(s string) (Class, error) {
	for c := Urgent; c <= Bulk; c++ {
		if s == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q is no priority: urgent, normal or bulk", s)
}

// String gives the word for the class.
func (c Class) String() string {
	switch c {
	case Urgent:
		return "urgent"
	case Normal:
		return "normal"
	case Bulk:
		return "bulk"
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// MarshalText gives the word for the class, and an error for a value that is none.
func (c Class) MarshalText() ([]byte, error) {
	if c < Urgent || c > Bulk {
		return nil, fmt.Errorf("%d is no priority", uint8(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads what ParseClass takes.
func (c *Class) UnmarshalText(text []byte) (err error) {
	*c, err = ParseClass(string(text))
	return err
}
