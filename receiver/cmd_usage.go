package main

import (
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/meter"
	"ecluse/receiver/house"
)

func usageCommand() *cobra.Command {
	return meter.Command(meter.Program{Name: program, Config: configFlag, Open: func(path string) (meter.Side, cli.Reader, error) {
		conf, err := load(path)
		return account(conf, disk.New()), reader(conf), err
	}})
}

// account is what there is to ask of this side's account.
func account(c Config, d *disk.Disk) meter.Side {
	return meter.Side{Book: meter.At(c.State, d), Rows: house.Rows(c.State, keepOf(c)), Prices: c.Prices, Tenants: envelopes(c), Now: time.Now}
}

// account is the same, by the clock of the running house.
func (d *daemon) account() meter.Side {
	a := account(d.c, d.Disk)
	a.Now = d.Clock.Now
	return a
}

// envelopes are those of the configuration.
func envelopes(c Config) (tenants []meter.Tenant) {
	for _, t := range c.Tenants {
		tenants = append(tenants, meter.Tenant{Name: t.Name, Envelope: t.Envelope})
	}
	return tenants
}
