package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/keys"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/clamd"
	"ecluse/receiver/inspect/command"
	"ecluse/receiver/inspect/icap"
	"ecluse/receiver/inspect/signatures"
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
	Inspectors    []string         `yaml:"inspectors"`
	Signatures    SignaturesConfig `yaml:"signatures"`
}

// SignaturesConfig says which people must have signed content: need of of, whose keys stand in signers.
type SignaturesConfig struct {
	Need    int      `yaml:"need"`
	Of      []string `yaml:"of"`
	Signers string   `yaml:"signers"`
}

func (s *SignaturesConfig) validate(f *config.Faults) {
	switch {
	case s.Need < 0:
		f.Add("need", "%d is below 0", s.Need)
	case s.Need == 0 && (len(s.Of) > 0 || s.Signers != ""):
		f.Add("need", "is missing: how many people must have signed each file")
	case len(s.Of) > 0 && s.Need > len(s.Of):
		f.Add("need", "%d of %d people can never be", s.Need, len(s.Of))
	}
	for i, name := range s.Of {
		if err := keys.CheckPerson(name); err != nil {
			f.In("of[%d]", i).Add("", "%v", err)
		} else if slices.Contains(s.Of[:i], name) {
			f.In("of[%d]", i).Add("", "%q stands twice", name)
		}
	}
	if s.Signers != "" {
		f.Absolute("signers", s.Signers)
	}
}

// words says them to people.
func (s *SignaturesConfig) words() string {
	if s.Need == 0 {
		return "of people are not asked for"
	}
	of := "anybody"
	if len(s.Of) > 0 {
		of = strings.Join(s.Of, ", ")
	}
	return fmt.Sprintf("each file must have those of %d people, of %s, by the keys in %s", s.Need, of, cmp.Or(s.Signers, "allowed_signers"))
}

// value is what --json says of them; nil for none.
func (s *SignaturesConfig) value() any {
	if s.Need == 0 {
		return nil
	}
	return map[string]any{"need": s.Need, "of": append([]string{}, s.Of...), "signers": s.Signers}
}

// bySignatures is the name of the inspector that holds content against people's signatures.
const bySignatures = "signatures"

// asked is the inspector that asks for people's signatures, or nil where none are needed.
func (s *SignaturesConfig) asked(tenant, allowedSigners string) (*inspect.Asked, error) {
	if s.Need == 0 {
		return nil, nil
	}
	file := cmp.Or(s.Signers, allowedSigners)
	people, err := keys.LoadPeople(file)
	if err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: fmt.Errorf("tenant %s: policy.signatures: %w", tenant, err), Hint: "signers: names a file of its own for people, one a line: NAME, and the public key"}
	}
	rule := signatures.Rule{Need: s.Need, Of: s.Of}
	rules := inspect.RulesOf([]any{rule, string(people.Text())})
	return askSignatures(&signatures.Inspector{Rule: rule, People: people, Version: rules}), nil
}

func askSignatures(i *signatures.Inspector) *inspect.Asked {
	return &inspect.Asked{Step: inspect.Step{Name: bySignatures, Rules: i.Version}, Timeout: signaturesTime, Inspector: i}
}

// signaturesTime is what reading takes beside what inspect.TimeFor adds for the bytes.
const signaturesTime = time.Minute

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
		examineSigners(d, conf, &t)
		if len(conf.Inspectors) > 0 && len(t.Policy.Inspectors) == 0 {
			d.Warn("tenant "+t.Name, "no inspector is required below its policy: none looks at what comes for it")
		}
	}
}

// examineSigners looks whether those who must sign what comes for a tenant have keys here.
func examineSigners(d *cli.Doctor, conf Config, t *TenantConfig) {
	s := &t.Policy.Signatures
	if s.Need == 0 {
		return
	}
	file := cmp.Or(s.Signers, conf.AllowedSigners)
	people, err := keys.LoadPeople(file)
	if err != nil {
		d.Check("signers "+file, err)
		return
	}
	able := people.Names()
	if len(s.Of) > 0 {
		able = slices.DeleteFunc(slices.Clone(s.Of), func(name string) bool { return !slices.Contains(people.Names(), name) })
		for _, name := range s.Of {
			if !slices.Contains(able, name) {
				d.Warn("tenant "+t.Name, fmt.Sprintf("policy.signatures: %s has no key in %s", name, file))
			}
		}
	}
	if len(able) < s.Need {
		d.Check("tenant "+t.Name, fmt.Errorf("policy.signatures: %d people must have signed, and %d have a key in %s", s.Need, len(able), file))
	}
}
