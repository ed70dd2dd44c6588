package main

import (
	"path/filepath"
	"slices"
	"time"

	"ecluse/internal/config"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/clamd"
	"ecluse/receiver/inspect/command"
	"ecluse/receiver/inspect/icap"
)

// InspectorConfig is one of those that tenants may require: exactly one of clamd, icap and command says how it is asked.
type InspectorConfig struct {
	Name    string          `yaml:"name"`
	Clamd   string          `yaml:"clamd"`
	ICAP    string          `yaml:"icap"`
	Command []string        `yaml:"command"`
	Read    []string        `yaml:"read"`
	Network bool            `yaml:"network"`
	Timeout config.Duration `yaml:"timeout"`
}

// SetDefaults is for keys that are not there.
func (i *InspectorConfig) SetDefaults() {
	*i = InspectorConfig{Timeout: config.Duration(5 * time.Minute)}
}

const (
	mostInspectors = 8
	minTimeout     = config.Duration(time.Second)
)

func (i *InspectorConfig) validate(f *config.Faults) {
	if _, err := bundle.ParseName(i.Name); err != nil {
		f.Add("name", "%v", err)
	}
	if i.Name == chamber.ByPolicy || i.Name == bySignatures {
		f.Add("name", "%q is the name of the tenants' own rules", i.Name)
	}
	ways := 0
	for _, is := range []bool{i.Clamd != "", i.ICAP != "", len(i.Command) > 0} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		f.Add("", "%d of clamd, icap and command are there: exactly one says how it is asked", ways)
	}
	if i.Clamd != "" && !filepath.IsAbs(i.Clamd) {
		f.Add("clamd", "%q is not the absolute path of clamd's socket", i.Clamd)
	}
	if i.ICAP != "" {
		if _, err := icap.Parse(i.ICAP); err != nil {
			f.Add("icap", "%v", err)
		}
	}
	if len(i.Command) > 0 {
		f.Absolute("command", i.Command[0])
	}
	if len(i.Command) == 0 && (i.Network || len(i.Read) > 0) {
		f.Add("command", "read and network say what a command may do, and it is not there")
	}
	for _, p := range i.Read {
		f.Absolute("read", p)
	}
	if i.Timeout < minTimeout {
		f.Add("timeout", "%v is below %v", i.Timeout, minTimeout)
	}
}

// validateInspectors looks at who is asked, and at whom the tenants require.
func (c *Config) validateInspectors(f *config.Faults) {
	var names []string
	if len(c.Inspectors) > mostInspectors {
		f.Add("inspectors", "%d are more than %d: what each says stands in every bundle's record", len(c.Inspectors), mostInspectors)
	}
	for i, n := range c.Inspectors {
		n.validate(f.In("inspectors[%d]", i))
		names = append(names, n.Name)
	}
	for i, t := range c.Tenants {
		t.Policy.Signatures.validate(f.In("tenants[%d].policy.signatures", i))
		seen := map[string]bool{}
		for k, name := range t.Policy.Inspectors {
			in := f.In("tenants[%d].policy.inspectors[%d]", i, k)
			switch {
			case !slices.Contains(names, name):
				in.Add("", "there is no inspector %q below inspectors", name)
			case seen[name]:
				in.Add("", "%q stands twice", name)
			}
			seen[name] = true
		}
	}
}

// asked are the inspectors of the configuration, in their order. Commands that are to say their version work in scratch.
func (c *Config) asked(scratch string) []*inspect.Asked {
	var all []*inspect.Asked
	for _, i := range c.Inspectors {
		rules := inspect.RulesOf([]any{i.Clamd, i.ICAP, i.Command, i.Read, i.Network})
		a := &inspect.Asked{Step: inspect.Step{Name: i.Name, Rules: rules}, Timeout: i.Timeout.Std()}
		switch {
		case i.Clamd != "":
			a.Inspector = clamd.New(i.Clamd)
		case i.ICAP != "":
			u, err := icap.Parse(i.ICAP)
			if err != nil {
				panic("internal error: a configuration that was not validated: " + err.Error())
			}
			a.Inspector = icap.New(u)
		default:
			a.Works = true
			a.Inspector = &command.Command{
				Self: []string{"/proc/self/exe", confineName}, Command: i.Command, Read: i.Read, Network: i.Network, Scratch: scratch,
			}
		}
		all = append(all, a)
	}
	return all
}

// required are those that a tenant names, in the order of all.
func (t *TenantConfig) required(all []*inspect.Asked) (list []*inspect.Asked) {
	for _, a := range all {
		if slices.Contains(t.Policy.Inspectors, a.Name) {
			list = append(list, a)
		}
	}
	return list
}
