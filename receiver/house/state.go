package house

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/clock"
	"ecluse/internal/disk"
	"ecluse/internal/examine"
	"ecluse/internal/instance"
	"ecluse/internal/keys"
	"ecluse/internal/meter"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
	"ecluse/receiver/chamber"
	"ecluse/receiver/issue"
	"ecluse/receiver/ledger"
)

// stateVersion is the form of the state directory. A program that changes it so that an older one would do harm counts it up.
const stateVersion = 1

// Options of a State.
type Options struct {
	Dir     string // it has to exist
	Disk    *disk.Disk
	Key     *keys.ReceiverKey
	Signers *keys.AllowedSigners            // restricted to Senders
	Senders map[bundle.Name][]bundle.Name   // the tenants that each may use
	People  *keys.People                    // the officers; nil: decisions are no signatures
	Tenants map[bundle.Name]chamber.Tenant  // their rules
	Keep    chamber.Keep                    // how long things stay
	Reserve func(total int64) (bytes int64) // what no bundle may take of a disk
	Inspect func(context.Context, examine.Job) (*examine.Report, error)
	Routes  map[bundle.Name]route.Facts // what the configuration says of the tenants' routes
	Name    string                      // of this side, on statements
	Account *meter.Terms                // nil: nobody counts what tenants use
	Codes   int                         // tickets and receipts that may be issued on one day
	Log     *zap.Logger
	Now     func() time.Time // the machine's clock; nil is the system's
	// Fatal is called when a promise to the disk could not be kept.
	Fatal context.CancelCauseFunc
}

// State is an open state directory, and the lock between the two gates in it.
type State struct {
	Dir     string
	Disk    *disk.Disk
	Key     *keys.ReceiverKey
	Clock   *clock.Clock
	Ledger  *ledger.Ledger
	Chamber *chamber.Chamber
	Meter   *meter.Meter // nil: nobody counts what tenants use
	Desk    *issue.Desk
	Routes  *route.Book
	Audit   *audit.Log

	o     Options
	lock  *instance.Lock
	spare *disk.Spare
	trust chamber.Trust
}

// Open takes a state directory and opens what is in it.
func Open(ctx context.Context, o Options) (*State, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &State{Dir: o.Dir, Disk: o.Disk, Key: o.Key, o: o}
	s.trust.Set(o.Signers, o.Senders)
	s.SetOfficers(o.People)
	s.Disk.Guard(s.Dir, func(err error) { s.o.Fatal(fmt.Errorf("%w: %w", ledger.ErrFatal, err)) })
	s.spare = disk.NewSpare(s.Disk, s.Dir)
	s.spare.GiveWhenFull() // a start writes a little in many places
	var err error
	if s.lock, err = instance.Take(s.Dir, stateVersion, s.Disk.Replace); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.lock.Release())
	}
	s.Ledger.SetSpare(s.spare)
	if err := s.spare.Keep(); err != nil {
		s.o.Log.Error("keep room for the state's own records", zap.Error(err))
	}
	return s, nil
}

// SetOfficers replaces the people who may decide; nil: whoever may ask.
func (s *State) SetOfficers(p *keys.People) {
	if p == nil {
		s.trust.SetOfficers(nil)
		return
	}
	s.trust.SetOfficers(p)
}

// Signed says whether decisions are officers' signatures.
func (s *State) Signed() bool { return s.trust.Officers() != nil }

func (s *State) open(ctx context.Context) (err error) {
	if s.Clock, err = clock.Open(s.Disk, clockPath(s.Dir), s.o.Now); err != nil {
		return err
	}
	if s.Ledger, err = ledger.Open(ctx, s.Dir, s.Disk, s.Clock.Now); err != nil {
		return err
	}
	for _, text := range s.Ledger.Findings() {
		s.o.Log.Warn("state", zap.String("text", text))
	}
	if err := s.openAudit(); err != nil {
		return errors.Join(err, s.Ledger.Close(false))
	}
	s.Desk, err = issue.Open(issue.Options{
		Dir: filepath.Join(s.Dir, "tickets"), Disk: s.Disk, Ledger: s.Ledger, PerDay: s.o.Codes, Now: s.Clock.Now, Log: s.o.Log,
	}, assemble.OnDisk{Disk: stagedDisk{s.Disk, s.spare}, Dir: s.receiving()})
	if err != nil {
		return errors.Join(err, s.Ledger.Close(true), s.Audit.Close())
	}
	if err := s.openMeter(); err != nil {
		return errors.Join(err, s.Ledger.Close(true), s.Audit.Close())
	}
	if s.Routes = route.Open(s.Disk, s.Dir, s.o.Routes); s.Routes.Fault() != nil {
		s.o.Log.Error("nothing of any tenant goes through", zap.Error(s.Routes.Fault()))
	}
	c := chamber.Options{
		State: s.Dir, Ledger: s.Ledger, Disk: s.Disk, Space: s.Space, Reserve: s.Reserve,
		Sync:     func(context.Context) error { return s.sync() },
		Receiver: s.Key.ID(), Inspect: s.o.Inspect, Closed: s.closed, Tenants: s.o.Tenants, Trust: &s.trust, Keep: s.o.Keep,
		Now: s.Clock.Now, Aged: s.Clock.Aged, Log: s.o.Log, Fatal: func(err error) { s.o.Fatal(err) },
	}
	if s.Meter != nil {
		c.Envelope, c.Purgeable = s.envelope, s.Meter.Purgeable
	}
	s.Chamber = chamber.New(c)
	return nil
}

// clockPath is where a state keeps the time.
func clockPath(dir string) string { return filepath.Join(dir, "clock") }

// closed says why nothing of a tenant goes through now, by the clock of the state, which never runs back.
func (s *State) closed(tenant bundle.Name) error { return s.Routes.Closed(tenant, s.Clock.Now()) }

// receiving is where incomplete bundles stand.
func (s *State) receiving() string { return filepath.Join(s.Dir, "receiving") }

// Space is what the state's disk has left.
func (s *State) Space() (bytes, inodes int64, err error) {
	free, err := s.Disk.Space(s.Dir)
	return free.Bytes, free.Inodes, err
}

// Reserve is what no bundle may take of the state's disk; 0 where the disk does not say how large it is.
func (s *State) Reserve() int64 {
	free, err := s.Disk.Space(s.Dir)
	if err != nil {
		return 0
	}
	return s.o.Reserve(free.Total)
}

// sync makes everything below the state durable. Its failure ends the process.
func (s *State) sync() error {
	if err := s.Disk.SyncAll(s.Dir); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrFatal, err)
	}
	return nil
}

// Close gives the state free. clean says that everything that was begun has ended.
func (s *State) Close(clean bool) error {
	return errors.Join(s.Clock.Save(), s.Ledger.Close(clean), s.Audit.Close(), s.lock.Release())
}

// AtRest opens a state, does something in it, and closes it: what a command does where no daemon runs. Nothing is received, and nothing delivered but what do asks for.
func AtRest(ctx context.Context, o Options, do func(context.Context, *State) error) error {
	ctx, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	var lost atomic.Pointer[error]
	o.Fatal = func(err error) {
		if err != nil {
			lost.CompareAndSwap(nil, &err)
		}
		fatal(err)
	}
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	book, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Ledger.Run(book) }()
	work, stop := context.WithCancel(ctx)
	err = s.Chamber.Rest(work)
	if err == nil {
		err = do(ctx, s)
	}
	stop()
	s.Chamber.Wait()
	end()
	broken := <-ended
	if failed := lost.Load(); failed != nil { // whoever asked for the sync may have made do without it: the next start looks at the files
		broken = errors.Join(broken, *failed)
	}
	if errors.Is(broken, ledger.ErrFatal) {
		err = errors.Join(err, broken)
	}
	return errors.Join(err, s.Close(broken == nil))
}

// Accept has a person take the loss of what a state has forgotten. No daemon may run on it.
func Accept(dir string, d *disk.Disk, by ledger.Acceptance) (did []string, err error) {
	lock, err := instance.Take(dir, stateVersion, d.Replace)
	if err != nil {
		return nil, err
	}
	if did, err = ledger.Accept(d, dir, by); err == nil {
		err = noteAcceptance(dir, d, by, did)
	}
	return did, errors.Join(err, lock.Release())
}

// Say takes a person's word about a route where no daemon runs.
func Say(dir string, d *disk.Disk, routes map[bundle.Name]route.Facts, w route.Word) (by route.Word, still string, err error) {
	return route.Rest{Dir: dir, Disk: d, Version: stateVersion, Audit: auditOptions(dir, d, clock.AtRest(d, clockPath(dir), time.Now))}.Say(routes, w)
}
