package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/deliver"
	"ecluse/receiver/house"
	"ecluse/receiver/inspect"
	"ecluse/receiver/issue"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// stateOptions is what the configuration says of a state. Whoever opens the state adds Fatal.
func stateOptions(c Config, log *zap.Logger) (o house.Options, err error) {
	unix.Umask(0o077) // whatever is to be open to others is opened by name
	o = house.Options{
		Dir: c.State, Disk: disk.New(), Inspect: cli.Examiner().Run, Routes: c.shared().Routes(), Reserve: c.Disk.Reserve.Of, Codes: c.Tickets.PerDay, Log: log,
		Keep: keepOf(c), Name: cmp.Or(c.Name, "receiver"), Account: new(terms(c)),
	}
	if o.Key, err = keys.LoadReceiverKey(c.Identity); err != nil {
		return o, &cli.Error{Code: cli.Usage, Err: err}
	}
	if o.Signers, o.Senders, err = loadTrust(c); err != nil {
		return o, err
	}
	if o.People, err = loadOfficers(c); err != nil {
		return o, err
	}
	if o.Tenants, err = tenantsOf(c, o.Disk); err != nil {
		return o, err
	}
	return o, cli.StateDir(c.State)
}

// keepOf is how long things stay.
func keepOf(c Config) chamber.Keep {
	return chamber.Keep{Imported: c.Keep.Imported.Std(), Rejected: c.Keep.Rejected.Std(), Damaged: c.Keep.Damaged.Std(), Rows: c.Keep.Rows.Std()}
}

// loadTrust reads who may sign, and which sender may use which tenant.
func loadTrust(c Config) (*keys.AllowedSigners, map[bundle.Name][]bundle.Name, error) {
	all, err := keys.LoadAllowedSigners(c.AllowedSigners)
	if err != nil {
		return nil, nil, &cli.Error{Code: cli.Usage, Err: err}
	}
	senders := make(map[bundle.Name][]bundle.Name)
	var names []bundle.Name
	for _, s := range c.Senders {
		name := bundle.Name(s.Name)
		names = append(names, name)
		for _, t := range s.Tenants {
			senders[name] = append(senders[name], bundle.Name(t))
		}
	}
	return all.Restrict(names), senders, nil
}

// loadOfficers reads whose signatures are decisions; nil where the configuration names no file of them.
func loadOfficers(c Config) (*keys.People, error) {
	if c.Officers == "" {
		return nil, nil
	}
	people, err := keys.LoadPeople(c.Officers)
	if err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: fmt.Errorf("officers: %w", err), Hint: "ecluse-receiver officer add NAME KEY.pub"}
	}
	return people, nil
}

// tenantsOf makes rules of the configuration, which was validated.
func tenantsOf(c Config, disks *disk.Disk) (map[bundle.Name]chamber.Tenant, error) {
	tenants := make(map[bundle.Name]chamber.Tenant)
	asked := c.asked(filepath.Join(c.State, chamber.ScratchName))
	for _, t := range c.Tenants {
		mode, err := release.ParseMode(t.Release)
		if err != nil {
			return nil, err
		}
		names, err := bundle.ParseNamePolicy(t.Names)
		if err != nil {
			return nil, err
		}
		tenant := chamber.Tenant{Name: bundle.Name(t.Name), Names: names, Release: mode, Officers: t.Officers, Override: t.Override == allow, Separate: t.Separate, Quota: int64(t.Quota), Freshness: t.Freshness.Std()}
		if t.Policy.Given {
			tenant.Rules, tenant.Inspectors = t.Policy.Rules(), t.required(asked)
			people, err := t.Policy.Signatures.asked(t.Name, c.AllowedSigners)
			if err != nil {
				return nil, err
			}
			if people != nil {
				tenant.Inspectors = append([]*inspect.Asked{people}, tenant.Inspectors...)
			}
		}
		for _, d := range t.Deliver {
			to, err := d.remote(disks)
			if err != nil {
				return nil, err
			}
			if to != nil {
				tenant.Remotes = append(tenant.Remotes, to)
				continue
			}
			clash, err := deliver.ParseClash(d.Clash)
			if err != nil {
				return nil, err
			}
			tenant.Destinations = append(tenant.Destinations, deliver.Options{
				Directory: filepath.Clean(d.Directory), Clash: clash, FileMode: d.Mode.Files.Perm(), DirMode: d.Mode.Directories.Perm(),
			})
		}
		tenants[tenant.Name] = tenant
	}
	return tenants, nil
}

// atRest opens the state, does something in it, and closes it: what commands do where no daemon runs.
func atRest(ctx context.Context, c Config, do func(context.Context, *house.State) error) error {
	if err := cli.BecomeOwner(c.State); err != nil {
		return err
	}
	o, err := stateOptions(c, zap.NewNop())
	if err != nil {
		return err
	}
	return house.AtRest(ctx, o, do)
}

// recordOf finds the record of a bundle, or makes one of what is known of a sequence of which nothing came.
func recordOf(ctx context.Context, s *house.State, text string) (*ledger.Record, error) {
	id, err := s.Ledger.Find(ctx, text)
	if strings.Contains(text, "/") {
		var row ledger.Row
		var sequence uint64
		row, sequence, err = issue.Named(ctx, s.Ledger, text)
		if err == nil && row.Bundle == nil {
			epoch, err := bundle.ParseEpoch(row.Epoch)
			return &ledger.Record{Sender: bundle.Name(row.Sender), Tenant: bundle.Name(row.Tenant), Epoch: epoch, Sequence: &sequence}, answerable(err)
		}
		if err == nil {
			id, err = bundle.ParseID(*row.Bundle)
		}
	}
	if err != nil {
		return nil, answerable(err)
	}
	r, err := s.Ledger.Get(id)
	return r, answerable(err)
}

// statementOf gives the text that a decision is.
func statementOf(ctx context.Context, s *house.State, in statementRequest) (*statement, error) {
	r, err := recordOf(ctx, s, in.Bundle)
	if err != nil {
		return nil, err
	}
	d := ledger.Decision{Approve: in.Approve, Reason: in.Reason}
	if in.Override {
		d.Override = release.Flagged(r)
	}
	return &statement{Document: string(release.Statement(r, d)), Signed: s.Signed()}, nil
}

// decide takes a person's decision, from the socket or from a command that holds the lock.
func decide(ctx context.Context, s *house.State, in decisionRequest, uid uint32, who string) (*decisionAnswer, error) {
	d := ledger.Decision{Approve: in.Approve, Who: who, UID: uid, Reason: in.Reason, Override: in.Override, Signature: in.Signature, At: s.Clock.Now().UTC()}
	r, err := recordOf(ctx, s, in.Bundle)
	if err != nil {
		return nil, err
	}
	asked := r
	switch {
	case !r.Bundle.IsZero():
		r, err = s.Chamber.Decide(ctx, r.Bundle, d)
	case d.Approve:
		return nil, &control.Error{Code: cli.Refused, Text: "nothing of it is here: there is nothing to approve"}
	default:
		r, err = s.Chamber.GiveUp(ledger.Chain{Sender: r.Sender, Tenant: r.Tenant, Epoch: r.Epoch}, *r.Sequence, d)
	}
	if err != nil {
		tellRefused(s.Audit, asked, who, err)
		return nil, answerable(err)
	}
	return &decisionAnswer{Bundle: r.Bundle, Name: r.Name, State: r.State, Missing: s.Chamber.Undecided(r), Override: in.Override}, nil
}
