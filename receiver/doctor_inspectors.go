package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/keys"
)

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
