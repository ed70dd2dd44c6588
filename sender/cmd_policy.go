package main

import (
	"fmt"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/route"
)

// rules are what else the configuration says of a tenant.
func (t *TenantConfig) rules() []cli.Rule {
	return []cli.Rule{
		{Key: "outbox", Value: t.Outbox, Words: t.Outbox}, {Key: "weight", Value: t.Weight, Words: fmt.Sprint(t.Weight)}, {Key: "path_names", Value: t.Names, Words: t.Names},
	}
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
