package main

import (
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/keys"
	"ecluse/internal/route"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
	"ecluse/receiver/collect"
	"ecluse/receiver/release"
)

// Config is receiver.yaml.
type Config struct {
	Path  string    `yaml:"-"` // where it was read, for hints and a reload
	Stamp cli.Stamp `yaml:"-"` // of the file, from before it was read

	Name           string            `yaml:"name"`
	State          string            `yaml:"state"`
	Identity       string            `yaml:"identity"`
	AllowedSigners string            `yaml:"allowed_signers"`
	Officers       string            `yaml:"officers"`
	OfficerKey     string            `yaml:"officer_key"`
	Links          []LinkConfig      `yaml:"links"`
	Memory         config.Bytes      `yaml:"memory"`
	Senders        []SenderConfig    `yaml:"senders"`
	Prices         usage.Prices      `yaml:"prices"`
	Tenants        []TenantConfig    `yaml:"tenants"`
	Inspectors     []InspectorConfig `yaml:"inspectors"`
	Keep           KeepConfig        `yaml:"keep"`
	Disk           DiskConfig        `yaml:"disk"`
	Tickets        TicketsConfig     `yaml:"tickets"`
	Audit          audit.Config      `yaml:"audit"`
	Silence        config.Duration   `yaml:"silence"`
	Idle           config.Duration   `yaml:"idle"`
	Log            string            `yaml:"log"`
}

// LinkConfig is one link: where it is heard. Everything else is told by the packets.
type LinkConfig struct {
	Name          string          `yaml:"name"`
	Listen        config.AddrPort `yaml:"listen"`
	ReceiveBuffer config.Bytes    `yaml:"receive_buffer"`
}

// SetDefaults is for keys that are not there.
func (l *LinkConfig) SetDefaults() { *l = LinkConfig{ReceiveBuffer: 32 << 20} }

// SenderConfig is one sender and the tenants that it may use.
type SenderConfig struct {
	Name    string   `yaml:"name"`
	Tenants []string `yaml:"tenants"`
}

// TenantConfig is one tenant.
type TenantConfig struct {
	Name      string          `yaml:"name"`
	Release   string          `yaml:"release"`
	Officers  []string        `yaml:"officers"`
	Override  string          `yaml:"override"`
	Separate  bool            `yaml:"separate"`
	Names     string          `yaml:"names"`
	Quota     config.Bytes    `yaml:"quota"`
	Policy    PolicyConfig    `yaml:"policy"`
	Deliver   []DeliverConfig `yaml:"deliver"`
	Freshness config.Duration `yaml:"freshness"`

	Envelope usage.Envelope `yaml:"envelope"`

	route.Config `yaml:",squash"`
}

// SetDefaults is for keys that are not there.
func (t *TenantConfig) SetDefaults() {
	*t = TenantConfig{Release: release.ModeOne.String(), Override: deny, Names: bundle.Linux.String(), Config: route.Defaults()}
}

// KeepConfig says how long things stay.
type KeepConfig struct {
	Imported config.Duration `yaml:"imported"`
	Rejected config.Duration `yaml:"rejected"`
	Damaged  config.Duration `yaml:"damaged"`
	Rows     config.Duration `yaml:"rows"`
}

// DiskConfig says what no bundle may take.
type DiskConfig struct {
	Reserve config.Size `yaml:"reserve"`
}

// TicketsConfig bounds what may go back to the low side in codes that people carry.
type TicketsConfig struct {
	PerDay int `yaml:"per_day"`
}

// What override: may say.
const (
	allow = "allow"
	deny  = "deny"
)

const (
	defaultPath = "/etc/ecluse/receiver.yaml"
	day         = config.Duration(24 * time.Hour)

	minMemory  = 16 << 20 // for blocks: the window of a slow link
	minSilence = config.Duration(3 * time.Second)
	minIdle    = config.Duration(time.Second)

	mostTickets = 1000 // a day: more is no longer what people carry
)

// defaults are what a key says that is not there.
func defaults() Config {
	return Config{
		State:          "/var/lib/ecluse-receiver",
		Identity:       "/etc/ecluse/receiver.key",
		AllowedSigners: "/etc/ecluse/allowed_signers",
		Memory:         collect.DefaultMemory,
		Keep:           KeepConfig{Rejected: 30 * day, Damaged: 30 * day, Rows: 400 * day},
		Disk:           DiskConfig{Reserve: config.Size{Part: 0.05}},
		Tickets:        TicketsConfig{PerDay: 24},
		Audit:          audit.Defaults(),
		Silence:        config.Duration(10 * time.Second),
		Idle:           config.Duration(15 * time.Second),
		Log:            "info",
	}
}

// Validate names every fault at once.
func (c *Config) Validate(f *config.Faults) {
	if err := control.CheckState(c.State); err != nil {
		f.Add("state", "%v", err)
	}
	if c.Name != "" {
		if _, err := bundle.ParseName(c.Name); err != nil {
			f.Add("name", "%v", err)
		}
	}
	for key, path := range map[string]string{"state": c.State, "identity": c.Identity, "allowed_signers": c.AllowedSigners} {
		f.Absolute(key, path)
	}
	c.validateOfficers(f)
	if len(c.Links) == 0 {
		f.Add("links", "there is none: add one with name and listen")
	}
	for i, l := range c.Links {
		l.validate(f.In("links[%d]", i))
	}
	if c.Memory < minMemory {
		f.Add("memory", "%v is below %v", c.Memory, config.Bytes(minMemory))
	}
	if c.Silence < minSilence {
		f.Add("silence", "%v is below %v: a heartbeat comes every second", c.Silence, minSilence)
	}
	if c.Idle < minIdle {
		f.Add("idle", "%v is below %v: what is only late would be called damaged", c.Idle, minIdle)
	}
	if c.Disk.Reserve.Part >= 1 {
		f.Add("disk.reserve", "%v leaves nothing", c.Disk.Reserve)
	}
	if c.Tickets.PerDay < 0 || c.Tickets.PerDay > mostTickets {
		f.Add("tickets.per_day", "%d is not between 0 and %d", c.Tickets.PerDay, mostTickets)
	}
	c.Prices.Validate(f.In("prices"))
	if c.Prices.LinkHour > 0 {
		f.Add("prices.link_hour", "this side cannot know how long a tenant used the link: the price stands on the low side")
	}
	c.Audit.Validate(f.In("audit"))
	tenants := map[string]bool{}
	for i, t := range c.Tenants {
		tenants[t.Name] = true
		t.validate(f.In("tenants[%d]", i))
		t.Envelope.Validate(f.In("tenants[%d].envelope", i), c.Prices.Given)
		c.checkDirectories(f, i)
	}
	c.checkPlaces(f)
	if len(c.Tenants) == 0 {
		f.Add("tenants", "there is none: add one with name, release and deliver")
	}
	c.validateInspectors(f)
	for i, s := range c.Senders {
		s.validate(f.In("senders[%d]", i), tenants)
	}
	f.Level("log", c.Log)
}

// validateOfficers looks at what is said of the people who decide.
func (c *Config) validateOfficers(f *config.Faults) {
	for key, path := range map[string]string{"officers": c.Officers, "officer_key": c.OfficerKey} {
		if path != "" {
			f.Absolute(key, path)
		}
	}
	for i, t := range c.Tenants {
		in := f.In("tenants[%d]", i)
		if c.Officers == "" && len(t.Officers) > 0 {
			in.Add("officers", "there is no file in which they stand: officers: names it, at the top")
		}
		if c.Officers == "" && t.Separate {
			in.Add("separate", "people are told apart by officers: at the top, and it is not there")
		}
		for _, name := range t.Officers {
			if err := keys.CheckPerson(name); err != nil {
				in.Add("officers", "%v", err)
			}
		}
		if mode, err := release.ParseMode(t.Release); err == nil && len(t.Officers) > 0 && len(t.Officers) < mode.People() {
			in.Add("officers", "release: %s needs more people than are listed", t.Release)
		}
	}
}

func (l *LinkConfig) validate(f *config.Faults) {
	if !l.Listen.IsValid() {
		f.Add("listen", "is missing: the address and port on the diode's interface")
		return
	}
	if l.Listen.Port() == 0 {
		f.Add("listen", "port 0 is no port that a sender could know")
	}
	if l.ReceiveBuffer < 1<<18 {
		f.Add("receive_buffer", "%v is below 256KiB", l.ReceiveBuffer)
	}
}

func (s *SenderConfig) validate(f *config.Faults, tenants map[string]bool) {
	if _, err := bundle.ParseName(s.Name); err != nil {
		f.Add("name", "%v", err)
	}
	for i, t := range s.Tenants {
		if !tenants[t] {
			f.In("tenants[%d]", i).Add("", "there is no tenant %q below tenants", t)
		}
	}
}

func (t *TenantConfig) validate(f *config.Faults) {
	if _, err := bundle.ParseName(t.Name); err != nil {
		f.Add("name", "%v", err)
	}
	if _, err := release.ParseMode(t.Release); err != nil {
		f.Add("release", "%v", err)
	}
	if _, err := bundle.ParseNamePolicy(t.Names); err != nil {
		f.Add("names", "%v", err)
	}
	if t.Override != allow && t.Override != deny {
		f.Add("override", "%q is neither allow nor deny", t.Override)
	}
	t.Policy.Validate(f.In("policy"))
	t.Config.Validate(f)
	validateDestinations(f, t.Deliver)
}
