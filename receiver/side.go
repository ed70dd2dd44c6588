package main

import (
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/meter"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

// side is this one as the commands see it that both have.
var side = cli.House{
	Program: program, Default: defaultPath, Say: house.Say,
	Tests: `
Signatures of people are asked for as well, by the keys that stand there now: those in a directory as in an item; those beside a file (NAME.sig, NAME.WHO.sig) as if the item held the file and
them. Inspectors look at it where --inspectors is given, each as it does in the daemon, but as who calls this; all are asked, and one that fails ends this with 1.`,
	Load: func(path string) (cli.Site, error) {
		conf, err := load(path)
		return cli.Site{Reader: reader(conf), Tenants: conf.shared(), Records: ledger.Digests(disk.New(), conf.State), Account: account(conf, disk.New())}, err
	},
}

// shared are the tenants as those commands see them.
func (c Config) shared() (list cli.Tenants) {
	for _, t := range c.Tenants {
		list = append(list, cli.Tenant{Name: t.Name, Policy: t.Policy.Config, Route: t.Route(), Envelope: t.Envelope, Rest: t.rules(), Beside: t.beside(c)})
	}
	return list
}

// terms are what is counted, and at which prices.
func terms(c Config) meter.Terms {
	return meter.Terms{Prices: c.Prices, Tenants: c.shared().Envelopes()}
}

// account is what there is to ask of this side's account.
func account(c Config, d *disk.Disk) meter.Side {
	return meter.Side{Book: meter.At(c.State, d), Rows: house.Rows(c.State, keepOf(c)), Terms: terms(c), Now: time.Now}
}

// account is the same, by the clock of the running house.
func (d *daemon) account() meter.Side {
	a := account(d.c, d.Disk)
	a.Now = d.Clock.Now
	return a
}
