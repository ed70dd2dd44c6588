package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"ecluse/internal/cli"
	"ecluse/internal/clock"
	"ecluse/internal/disk"
	"ecluse/internal/instance"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// stateVersion is the form of the state directory. A program that changes it so that an older one would do harm counts it up.
const stateVersion = 1

// house is an open state: what the daemon works in, and what a command works in when no daemon runs.
type house struct {
	c     Config
	log   *zap.Logger
	disk  *disk.Disk
	lock  *instance.Lock
	clock *clock.Clock
	trust *chamber.Trust

	key     *keys.ReceiverKey
	signers *keys.AllowedSigners // restricted to the senders of the configuration

	ledger  *ledger.Ledger
	chamber *chamber.Chamber

	fatal context.CancelCauseFunc
}

// openHouse takes the state and opens it. fatal is called when a promise to the disk could not be kept.
func openHouse(ctx context.Context, c Config, log *zap.Logger, fatal context.CancelCauseFunc) (*house, error) {
	h := &house{c: c, log: log, disk: disk.New(), trust: new(chamber.Trust), fatal: fatal}
	unix.Umask(0o077) // whatever is to be open to others is opened by name
	var err error
	if h.key, err = keys.LoadReceiverKey(c.Identity); err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: err}
	}
	if err := cli.StateDir(c.State); err != nil {
		return nil, err
	}
	if h.lock, err = instance.Take(c.State, stateVersion, h.disk.Replace); err != nil {
		return nil, err
	}
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.lock.Release())
	}
	return h, nil
}

func (h *house) open(ctx context.Context) (err error) {
	if h.clock, err = clock.Open(h.disk, filepath.Join(h.c.State, "clock"), time.Now); err != nil {
		return err
	}
	if err := h.loadTrust(h.c); err != nil {
		return err
	}
	tenants, err := tenantsOf(h.c)
	if err != nil {
		return err
	}
	if h.ledger, err = ledger.Open(ctx, h.c.State, h.disk, h.clock.Now); err != nil {
		return err
	}
	h.chamber = chamber.New(chamber.Options{
		State: h.c.State, Ledger: h.ledger, Disk: h.disk,
		Space:    h.space,
		Reserve:  h.reserve,
		Sync:     func(context.Context) error { return h.sync() },
		Receiver: h.key.ID(), Tenants: tenants, Trust: h.trust,
		Keep: chamber.Keep{
			Imported: h.c.Keep.Imported.Std(), Rejected: h.c.Keep.Rejected.Std(), Damaged: h.c.Keep.Damaged.Std(), Rows: h.c.Keep.Rows.Std(),
		},
		Now: h.clock.Now, Log: h.log, Fatal: func(err error) { h.fatal(err) },
	})
	return nil
}

func (h *house) space() (bytes, inodes int64, err error) {
	bytes, inodes, _, err = disk.Space(h.c.State)
	return bytes, inodes, err
}

func (h *house) reserve() int64 {
	_, _, total, err := disk.Space(h.c.State)
	if err != nil {
		return 0
	}
	return h.c.Disk.Reserve.Of(total)
}

// sync makes everything below the state durable. Its failure ends the process.
func (h *house) sync() error {
	if err := h.disk.SyncAll(h.c.State); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrFatal, err)
	}
	return nil
}

// loadTrust reads who may sign and which sender may use which tenant, from the configuration c.
func (h *house) loadTrust(c Config) error {
	all, err := keys.LoadAllowedSigners(c.AllowedSigners)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
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
	h.signers = all.Restrict(names)
	h.trust.Set(h.signers, senders)
	return nil
}

// close gives the state free. clean says that everything that was begun has ended.
func (h *house) close(clean bool) error {
	return errors.Join(h.clock.Save(), h.ledger.Close(clean), h.lock.Release())
}

// tenantsOf makes rules of the configuration, which was validated.
func tenantsOf(c Config) (map[bundle.Name]chamber.Tenant, error) {
	tenants := make(map[bundle.Name]chamber.Tenant)
	for _, t := range c.Tenants {
		mode, err := release.ParseMode(t.Release)
		if err != nil {
			return nil, err
		}
		names, err := bundle.ParseNamePolicy(t.Names)
		if err != nil {
			return nil, err
		}
		tenant := chamber.Tenant{Name: bundle.Name(t.Name), Names: names, Release: mode, Quota: int64(t.Quota)}
		for _, d := range t.Deliver {
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
