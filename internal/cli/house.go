package cli

import (
	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/meter"
	"ecluse/internal/policy"
	"ecluse/internal/route"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

// House is a side as the commands see it that both sides have: policy, usage, audit.
type House struct {
	Program string
	Default string // path of the configuration
	Tests   string // what the help of policy test says of those who look at content beside the rules; "": nobody does here
	// Load reads a configuration.
	Load func(path string) (Site, error)
	// Say takes a person's word about a route into a state that no daemon has open.
	Say func(state string, d *disk.Disk, routes map[bundle.Name]route.Facts, w route.Word) (by route.Word, still string, err error)
}

// Site is one configured state, and what there is to ask of it.
type Site struct {
	Reader  Reader
	Tenants Tenants
	Records audit.Records // those that stand in it
	Account meter.Side
}

// Tenant is what the commands know of a tenant, of either side.
type Tenant struct {
	Name     string
	Policy   policy.Config
	Route    route.Facts
	Envelope usage.Envelope
	Rest     []Rule // what else the configuration says of what may pass
	Beside   []Inspector
}

// Rule is one more line of policy show: a key, the value for scripts, and words for people.
type Rule struct {
	Key   string
	Value any
	Words string
}

// Tenants are all of a configuration, in its order.
type Tenants []Tenant

// Names are what they are called.
func (all Tenants) Names() (names []string) {
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names
}

// Routes are what the configuration says of their routes.
func (all Tenants) Routes() map[bundle.Name]route.Facts {
	facts := make(map[bundle.Name]route.Facts)
	for _, t := range all {
		facts[bundle.Name(t.Name)] = t.Route
	}
	return facts
}

// Envelopes are theirs.
func (all Tenants) Envelopes() (list []meter.Tenant) {
	for _, t := range all {
		list = append(list, meter.Tenant{Name: t.Name, Envelope: t.Envelope})
	}
	return list
}

// named is one of them, or the only one where no name is given.
func (all Tenants) named(name string) (*Tenant, error) {
	if name == "" && len(all) > 1 {
		return nil, Fail(Usage, "there are %d tenants: say which, with --tenant", len(all))
	}
	for i := range all {
		if t := &all[i]; name == "" || t.Name == name {
			return t, nil
		}
	}
	return nil, Fail(NotFound, "no tenant is called %q", name)
}
