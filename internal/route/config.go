package route

import "ecluse/internal/config"

// Config are the keys of a route. They stand among those of a tenant, in the same words on both sides.
type Config struct {
	Owner         string      `yaml:"owner"`
	Contact       string      `yaml:"contact"`
	Justification string      `yaml:"justification"`
	Expires       config.Date `yaml:"expires"`
	Enabled       bool        `yaml:"enabled"`
}

// Defaults are for keys that are not there.
func Defaults() Config { return Config{Enabled: true} }

// Route are the facts that they say.
func (c *Config) Route() Facts {
	return Facts{Disabled: !c.Enabled, Owner: c.Owner, Contact: c.Contact, Justification: c.Justification, Expires: c.Expires}
}

const (
	nameMost = 256  // bytes of an owner or a contact: they stand on one line
	textMost = 2048 // of a justification
)

// Validate names every fault.
func (c *Config) Validate(f *config.Faults) {
	for _, t := range []struct {
		key, text string
		most      int
		lines     bool
	}{{"owner", c.Owner, nameMost, false}, {"contact", c.Contact, nameMost, false}, {"justification", c.Justification, textMost, true}} {
		switch {
		case len(t.text) > t.most:
			f.Add(t.key, "it has %d bytes: at most %d", len(t.text), t.most)
		case !printable(t.text, t.lines):
			f.Add(t.key, "it holds what cannot be printed")
		}
	}
}
