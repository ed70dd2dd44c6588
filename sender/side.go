package main

import (
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/meter"
	"ecluse/sender/house"
	"ecluse/sender/ledger"
)

// side is this one as the commands see it that both have.
var side = cli.House{
	Program: program, Default: defaultPath, Say: house.Say,
	Load: func(path string) (cli.Site, error) {
		conf, err := load(path)
		return cli.Site{Reader: reader(conf), Tenants: conf.shared(), Records: ledger.Digests(disk.New(), conf.State), Account: account(conf, disk.New())}, err
	},
}

// shared are the tenants as those commands see them.
func (c Config) shared() (list cli.Tenants) {
	for _, t := range c.Tenants {
		list = append(list, cli.Tenant{Name: t.Name, Policy: t.Policy, Route: t.Route(), Envelope: t.Envelope, Rest: t.rules()})
	}
	return list
}

// terms are what is counted, and at which prices.
func terms(c Config) meter.Terms {
	return meter.Terms{Prices: c.Prices, Tenants: c.shared().Envelopes()}
}

// account is what there is to ask of this side's account.
func account(c Config, d *disk.Disk) meter.Side {
	return meter.Side{Book: meter.At(c.State, d), Rows: house.Rows(c.State, c.Keep.Sent.Std()), Terms: terms(c), Now: time.Now}
}
