package release

import "fmt"

// Mode says how many people a tenant's bundles need. The zero Mode is One: what was not configured is not released by itself.
type Mode uint8

// The modes.
const (
	ModeOne       Mode = iota // one person
	ModeTwo                   // two different persons
	ModeAutomatic             // nobody, as long as the verdict is clean
)

var modeNames = [...]string{ModeOne: "one", ModeTwo: "two", ModeAutomatic: "automatic"}

// ParseMode takes the word that the configuration uses: automatic, one or two.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return ModeOne, fmt.Errorf("%q is no way to release: automatic, one or two", s)
}

// String returns the word of the configuration.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// People is how many different persons must approve when people are asked at all. A bundle of an automatic tenant that was not released by itself, because it
// was held or the mode changed meanwhile, takes one.
func (m Mode) People() int {
	switch m {
	case ModeOne, ModeAutomatic:
		return 1
	case ModeTwo:
		return 2
	}
	panic("release: internal error: " + m.String())
}
