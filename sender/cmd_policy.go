package main

import (
	"fmt"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/sender/house"
)

// policyHouse is this side as the policy commands see it.
var policyHouse = cli.PolicyHouse{
	Program: program, Default: defaultPath, Say: house.Say,
	Load: func(path string) (cli.Reader, []cli.PolicyTenant, error) {
		conf, err := load(path)
		if err != nil {
			return cli.Reader{}, nil, err
		}
		var tenants []cli.PolicyTenant
		for _, t := range conf.Tenants {
			tenants = append(tenants, cli.PolicyTenant{Name: t.Name, Policy: t.Policy, Route: t.Route(), Rest: []cli.Rule{
				{Key: "outbox", Value: t.Outbox, Words: t.Outbox}, {Key: "weight", Value: t.Weight, Words: fmt.Sprint(t.Weight)}, {Key: "path_names", Value: t.Names, Words: t.Names},
			}})
		}
		return reader(conf), tenants, nil
	},
}

// routesOf are what a configuration says of the tenants' routes.
func routesOf(c Config) map[bundle.Name]route.Facts {
	facts := make(map[bundle.Name]route.Facts)
	for _, t := range c.Tenants {
		facts[bundle.Name(t.Name)] = t.Route()
	}
	return facts
}

// maySay lets the operators of a tenant stop it, and start it where it was one of them who stopped it; everything else is for root and the daemon's user.
func (d *daemon) maySay(p control.Peer, w route.Word) error {
	if control.Owner(p) {
		return nil
	}
	if w.Tenant == route.All {
		return &control.Error{Code: cli.Failed, Text: fmt.Sprintf("%s is no administrator: only those stop or start all tenants", p.Name())}
	}
	if _, err := d.tenantFor(p, string(w.Tenant)); err != nil {
		return err
	}
	have, ok := d.Routes.Word(w.Tenant)
	if w.Stopped || !ok || !have.Stopped || have.UID == p.UID {
		return nil
	}
	return &control.Error{Code: cli.Failed, Text: fmt.Sprintf("%s was stopped by %s: only they, or an administrator, start it again", w.Tenant, have.Who)}
}
