package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/policy"
	"ecluse/internal/route"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
)

// Config is sender.yaml.
type Config struct {
	Path  string    `yaml:"-"` // where it was read, for hints and a reload
	Stamp cli.Stamp `yaml:"-"` // of the file, from before it was read

	Name     string          `yaml:"name"`
	State    string          `yaml:"state"`
	Identity string          `yaml:"identity"`
	Receiver string          `yaml:"receiver"`
	Links    []LinkConfig    `yaml:"links"`
	Passes   PassesConfig    `yaml:"passes"`
	Settle   config.Duration `yaml:"settle"`
	Rescan   config.Duration `yaml:"rescan"`
	Memory   config.Bytes    `yaml:"memory"`
	Keep     KeepConfig      `yaml:"keep"`
	Prices   usage.Prices    `yaml:"prices"`
	Tenants  []TenantConfig  `yaml:"tenants"`
	Audit    audit.Config    `yaml:"audit"`
	Log      string          `yaml:"log"`
}

// LinkConfig is one link: facts about it, no parameters.
type LinkConfig struct {
	Name   string          `yaml:"name"`
	To     config.AddrPort `yaml:"to"`
	MTU    int             `yaml:"mtu"`
	Rate   config.Rate     `yaml:"rate"`
	Loss   config.Percent  `yaml:"loss"`
	Burst  config.Duration `yaml:"burst"`
	Memory config.Bytes    `yaml:"memory"`
	Delay  config.Duration `yaml:"delay"`
}

// SetDefaults is for keys that are not there.
func (l *LinkConfig) SetDefaults() {
	*l = LinkConfig{
		MTU: 1500, Rate: 900e6, Loss: 0.01, Burst: config.Duration(10 * time.Millisecond), Memory: fec.DefaultMemory,
		Delay: config.Duration(500 * time.Millisecond),
	}
}

// PassesConfig says how often everything is sent.
type PassesConfig struct {
	Count int             `yaml:"count"`
	Apart config.Duration `yaml:"apart"`
}

// KeepConfig says how long things stay.
type KeepConfig struct {
	Sent   config.Duration `yaml:"sent"`
	Failed config.Duration `yaml:"failed"`
	Rows   config.Duration `yaml:"rows"`
}

// TenantConfig is one tenant.
type TenantConfig struct {
	Name   string `yaml:"name"`
	Outbox string `yaml:"outbox"`
	Weight int    `yaml:"weight"`
	Names  string `yaml:"names"`

	Envelope usage.Envelope `yaml:"envelope"`

	Policy policy.Config `yaml:"policy"`

	route.Config `yaml:",squash"`
}

// SetDefaults is for keys that are not there.
func (t *TenantConfig) SetDefaults() {
	*t = TenantConfig{Weight: 1, Names: bundle.Linux.String(), Config: route.Defaults()}
}

const (
	defaultPath = "/etc/ecluse/sender.yaml"
	day         = config.Duration(24 * time.Hour)

	minMemory = 16 << 20 // of packing: five chunks of the largest size would be 40 MiB
	maxWeight = 1000

	passesMost = 100
)

// defaults are what a key says that is not there.
func defaults() Config {
	return Config{
		State:    "/var/lib/ecluse-sender",
		Identity: "/etc/ecluse/sender_ed25519",
		Receiver: "/etc/ecluse/receiver.pair",
		Passes:   PassesConfig{Count: 1, Apart: config.Duration(10 * time.Second)},
		Settle:   config.Duration(2 * time.Second),
		Rescan:   config.Duration(10 * time.Second),
		Memory:   48 << 20,
		Keep:     KeepConfig{Sent: 7 * day, Failed: 30 * day, Rows: 400 * day},
		Audit:    audit.Defaults(),
		Log:      "info",
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
	for key, path := range map[string]string{"state": c.State, "identity": c.Identity, "receiver": c.Receiver} {
		f.Absolute(key, path)
	}
	if len(c.Links) != 1 {
		f.Add("links", "there are %d: this version drives exactly one", len(c.Links))
	}
	for i := range c.Links {
		c.Links[i].validate(f.In("links[%d]", i))
	}
	if c.Passes.Count < 1 || c.Passes.Count > passesMost {
		f.Add("passes.count", "%d is not between 1 and %d", c.Passes.Count, passesMost)
	}
	if c.Memory < minMemory {
		f.Add("memory", "%v is below %v", c.Memory, config.Bytes(minMemory))
	}
	if c.Settle <= 0 {
		f.Add("settle", "%v is no time for which an item could stand still", c.Settle)
	}
	if c.Rescan <= 0 {
		f.Add("rescan", "%v is no time between two looks", c.Rescan)
	}
	if c.Keep.Rows < max(c.Keep.Sent, c.Keep.Failed) {
		f.Add("keep.rows", "%v is below keep.sent or keep.failed: what is kept could not be found any more", c.Keep.Rows)
	}
	c.Prices.Validate(f.In("prices"))
	if len(c.Tenants) > bundle.MaxTenants {
		f.Add("tenants", "there are %d, and a heartbeat names %d at the most", len(c.Tenants), bundle.MaxTenants)
	}
	if len(c.Tenants) == 0 {
		f.Add("tenants", "there is none: add one with name and outbox")
	}
	for i, t := range c.Tenants {
		t.validate(f.In("tenants[%d]", i))
		t.Envelope.Validate(f.In("tenants[%d].envelope", i), c.Prices.Given)
	}
	c.checkOutboxes(f)
	c.Audit.Validate(f.In("audit"))
	f.Level("log", c.Log)
}

// checkOutboxes refuses outboxes that lie where something else does: all that stands in an outbox is taken and sent.
func (c *Config) checkOutboxes(f *config.Faults) {
	for i, t := range c.Tenants {
		if !filepath.IsAbs(t.Outbox) {
			continue
		}
		outbox := config.Directory{Key: fmt.Sprintf("tenants[%d].outbox", i), Path: t.Outbox}
		for j, other := range c.Tenants[:i] {
			if filepath.IsAbs(other.Outbox) {
				config.Apart(f, outbox, config.Directory{Key: fmt.Sprintf("tenants[%d].outbox", j), Path: other.Outbox})
			}
		}
		config.Apart(f, outbox, config.Directory{Key: "state", Path: c.State})
		for _, file := range []config.Directory{{Key: "identity", Path: c.Identity}, {Key: "receiver", Path: c.Receiver}} {
			config.Outside(f, file, outbox)
		}
	}
}

func (t *TenantConfig) validate(f *config.Faults) {
	if _, err := bundle.ParseName(t.Name); err != nil {
		f.Add("name", "%v", err)
	}
	f.Absolute("outbox", t.Outbox)
	if t.Weight < 1 || t.Weight > maxWeight {
		f.Add("weight", "%d is not between 1 and %d", t.Weight, maxWeight)
	}
	if _, err := bundle.ParseNamePolicy(t.Names); err != nil {
		f.Add("names", "%v", err)
	}
	t.Policy.Validate(f.In("policy"))
	t.Config.Validate(f)
}

func (l *LinkConfig) validate(f *config.Faults) {
	if !l.To.IsValid() {
		f.Add("to", "is missing: the receiver's address and port")
		return
	}
	if l.To.Port() == 0 {
		f.Add("to", "port 0 is no port to send to")
	}
	if _, err := fec.NewPlan(l.facts()); err != nil {
		f.Add("", "%v", err)
	}
}

// facts are what the planner is told of a link.
func (l *LinkConfig) facts() fec.Facts {
	return fec.Facts{
		Rate: int64(l.Rate), MTU: l.MTU, Loss: float64(l.Loss), Burst: l.Burst.Std(), Memory: int64(l.Memory), Delay: l.Delay.Std(), IPOverhead: l.overhead(),
	}
}

func (l *LinkConfig) overhead() int {
	if l.To.Addr().Unmap().Is4() {
		return fec.OverheadIPv4
	}
	return fec.OverheadIPv6
}

// tenant is the index of a tenant, or -1.
func (c *Config) tenant(name string) int {
	return slices.IndexFunc(c.Tenants, func(t TenantConfig) bool { return t.Name == name })
}
