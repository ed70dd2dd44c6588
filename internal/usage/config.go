package usage

import (
	"slices"
	"strings"

	"ecluse/internal/config"
)

// Prices are what stands below prices: in the configuration.
type Prices struct {
	Given bool `yaml:"-" json:"-"` // it stands there, if only as {}

	Currency      string `yaml:"currency" json:"currency"`
	Gigabyte      Price  `yaml:"gigabyte" json:"gigabyte"` // 10^9 bytes of content
	Bundle        Price  `yaml:"bundle" json:"bundle"`
	File          Price  `yaml:"file" json:"file"`
	LinkHour      Price  `yaml:"link_hour" json:"link_hour"`
	GigabyteMonth Price  `yaml:"gigabyte_month" json:"gigabyte_month"` // 10^9 bytes kept for 30 days
}

// SetDefaults is called where there are prices.
func (p *Prices) SetDefaults() { *p = Prices{Given: true, Currency: "EUR"} }

// Validate names every fault.
func (p *Prices) Validate(f *config.Faults) {
	if p.Given && (len(p.Currency) != 3 || strings.Trim(p.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		f.Add("currency", "%q is no currency: write three capital letters, as in EUR", p.Currency)
	}
}

// Envelope is what stands below envelope: of a tenant: what it may use in a year.
type Envelope struct {
	Given bool `yaml:"-"`

	Bytes  config.Bytes     `yaml:"bytes"`       // of content; 0: no bound
	Cost   Amount           `yaml:"cost"`        // 0: no bound
	Begins int              `yaml:"year_starts"` // number of the month
	Warn   []config.Percent `yaml:"warn"`        // shares from which on there is an alarm
	Stop   bool             `yaml:"stop"`        // beyond it nothing is taken
}

// SetDefaults is called where there is an envelope.
func (e *Envelope) SetDefaults() {
	*e = Envelope{Given: true, Begins: 1, Warn: []config.Percent{0.8, 0.95}}
}

// Validate names every fault. priced says whether there are prices.
func (e *Envelope) Validate(f *config.Faults, priced bool) {
	if !e.Given {
		return
	}
	if e.Bytes <= 0 && e.Cost <= 0 {
		f.Add("", "it has neither bytes nor cost: nothing could fill it")
	}
	if e.Cost > 0 && !priced {
		f.Add("cost", "there are no prices: nothing would cost anything")
	}
	if e.Begins < 1 || e.Begins > 12 {
		f.Add("year_starts", "%d is no month: 1 to 12", e.Begins)
	}
	if slices.ContainsFunc(e.Warn, func(p config.Percent) bool { return p <= 0 || p > 1 }) {
		f.Add("warn", "a share is above 0%% and at most 100%%")
	}
}
