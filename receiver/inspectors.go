package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/policy"
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

// PolicyConfig is what stands below policy: of a tenant here: what the low side has as well, and who looks at content beside.
type PolicyConfig struct {
	policy.Config `yaml:",squash"`
	Inspectors    []string `yaml:"inspectors"`
}

const (
	mostInspectors = 8
	minTimeout     = config.Duration(time.Second)
)

func (i *InspectorConfig) validate(f *config.Faults) {
	if _, err := bundle.ParseName(i.Name); err != nil {
		f.Add("name", "%v", err)
	}
	if i.Name == chamber.ByPolicy {
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
	if len(i.Command) > 0 && !filepath.IsAbs(i.Command[0]) {
		f.Add("command", "%q is not an absolute path", i.Command[0])
	}
	if len(i.Command) == 0 && (i.Network || len(i.Read) > 0) {
		f.Add("command", "read and network say what a command may do, and it is not there")
	}
	for _, p := range i.Read {
		if !filepath.IsAbs(p) {
			f.Add("read", "%q is not an absolute path", p)
		}
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

// confineName is the command by which the daemon makes of itself a command of the site, fenced in. Nobody types it.
const confineName = "confine"

func confineCommand() *cobra.Command {
	return &cobra.Command{
		Use: confineName, Short: "Become a command of the site, fenced in, as a child of the daemon", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			return &cli.Error{Code: command.Confine(args[0], c.ErrOrStderr())}
		},
	}
}

// oldSignatures is the age from which signatures are complained of: they are carried over, and not by themselves.
const oldSignatures = 14 * 24 * time.Hour

// examineInspectors asks each whether it is there and finds what it must.
func examineInspectors(ctx context.Context, d *cli.Doctor, conf Config) {
	scratch, err := os.MkdirTemp("", "ecluse-doctor-") // in the state it would be root's
	if err != nil {
		d.Check("inspectors", err)
		return
	}
	defer os.RemoveAll(scratch)
	for _, a := range conf.asked(scratch) {
		what := "inspector " + a.Name
		ctx, cancel := context.WithTimeoutCause(ctx, a.Timeout, fmt.Errorf("it took longer than %v", a.Timeout))
		began := time.Now()
		v, err := a.Inspector.Ready(ctx)
		cancel()
		switch {
		case err != nil:
			d.Check(what, err)
		case v.Signed == nil:
			d.Note(what, fmt.Sprintf("%s; it answers in %v, and finds what it must", v.Text, time.Since(began).Round(time.Millisecond)))
		case time.Since(*v.Signed) > oldSignatures:
			d.Warn(what, fmt.Sprintf("%s: its signatures are %d days old", v.Text, int(time.Since(*v.Signed).Hours()/24)))
		default:
			d.Note(what, fmt.Sprintf("%s; its signatures are of %s, it answers in %v, and finds what it must", v.Text, cli.Local(v.Signed), time.Since(began).Round(time.Millisecond)))
		}
	}
	for _, t := range conf.Tenants {
		if len(conf.Inspectors) > 0 && len(t.Policy.Inspectors) == 0 {
			d.Warn("tenant "+t.Name, "no inspector is required below its policy: none looks at what comes for it")
		}
	}
}
