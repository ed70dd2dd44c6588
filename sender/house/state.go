package house

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/clock"
	"ecluse/internal/disk"
	"ecluse/internal/instance"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
)

// stateVersion is the form of the state directory. A program that changes it so that an older one would do harm counts it up.
const stateVersion = 1

// The small files of a state. init draws epoch and ticket key: they are the sender's life.
const (
	EpochFile     = "epoch" // a directory that holds it is a sender's state
	ticketKeyFile = "ticket.key"
	sessionFile   = "session"
)

// ErrNoEpoch is returned for a state that nobody has drawn.
var ErrNoEpoch = errors.New("it has no epoch")

// newLife is what a person can do about small files that are damaged.
const newLife = "restore it from a backup, or begin a new life: ecluse-sender renew --epoch"

// State is an open state directory.
type State struct {
	Dir    string
	Disk   *disk.Disk
	Epoch  bundle.Epoch
	Ticket [32]byte
	Ledger *ledger.Ledger
	Audit  *audit.Log
	Now    func() time.Time // the machine's clock
	Clock  *clock.Clock     // by which routes end and the audit log is written: it never goes back

	opened time.Time
	lock   *instance.Lock
}

// Open takes a state directory, which has to exist, and opens what is in it.
func Open(ctx context.Context, d *disk.Disk, dir string) (*State, error) {
	return OpenBy(ctx, d, dir, time.Now)
}

// OpenBy is Open by another clock than the system's.
func OpenBy(ctx context.Context, d *disk.Disk, dir string, now func() time.Time) (*State, error) {
	s := &State{Dir: dir, Disk: d, Now: now, opened: now()}
	spare := disk.NewSpare(d, dir)
	spare.GiveWhenFull() // a start writes a little, too
	var err error
	if s.lock, err = instance.Take(dir, stateVersion, d.Replace); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.lock.Release())
	}
	s.Ledger.SetSpare(spare)
	_ = spare.Keep() // the book tries again each second
	return s, nil
}

func (s *State) open(ctx context.Context) (err error) {
	if s.Epoch, err = ReadEpoch(s.Disk, s.Dir); err != nil {
		return err
	}
	if s.Clock, err = clock.Open(s.Disk, filepath.Join(s.Dir, clockFile), s.Now); err != nil {
		return err
	}
	text, err := s.Disk.ReadFile(filepath.Join(s.Dir, ticketKeyFile), 128)
	if err != nil {
		return fmt.Errorf("read the ticket key: %w", err)
	}
	if n, err := hex.Decode(s.Ticket[:], []byte(strings.TrimSpace(string(text)))); err != nil || n != len(s.Ticket) {
		return fmt.Errorf("read the ticket key: %s is damaged; %s", filepath.Join(s.Dir, ticketKeyFile), newLife)
	}
	if s.Ledger, err = ledger.Open(ctx, s.Dir, s.Disk, s.Epoch, s.Now); err != nil {
		return err
	}
	s.Audit, err = audit.OpenFor(s.Ledger, auditOptions(s.Dir, s.Disk, s.Clock.Now), func(string) {}) // there is no log yet; the alarm tells
	if err != nil {
		return errors.Join(err, s.Ledger.Close(false))
	}
	return nil
}

// auditOrigin is what a low side's log calls itself. The key that it draws tells one from another.
const auditOrigin = "ecluse-sender"

// auditOptions are those of the log of a state.
func auditOptions(dir string, d *disk.Disk, now func() time.Time) audit.Options {
	return audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: auditOrigin, Now: now}
}

// Close gives the state free. clean says that everything that was begun has ended.
func (s *State) Close(clean bool) error {
	if clean {
		_ = s.Clock.Save() // what was kept before stands, a minute old at the most
	}
	return errors.Join(s.Ledger.Close(clean), s.Audit.Close(), s.lock.Release())
}

// clockFile is where the time is kept for the next start.
const clockFile = "clock"

// Time is that of a state which this process has not open.
func Time(d *disk.Disk, dir string) time.Time { return restClock(d, dir)() }

func restClock(d *disk.Disk, dir string) func() time.Time {
	return clock.AtRest(d, filepath.Join(dir, clockFile), time.Now)
}

// AtRest does something in an open state of which no house is joined, and closes it: what a command does where no daemon runs.
func (s *State) AtRest(ctx context.Context, do func(*State) error) error {
	book, end := context.WithCancel(context.WithoutCancel(ctx))
	ended, lost := make(chan error, 1), make(chan error, 1)
	s.Disk.Guard(s.Dir, func(err error) {
		select {
		case lost <- fmt.Errorf("%w: %w", ledger.ErrFatal, err):
		default: // one is enough
		}
	})
	go func() { ended <- s.Ledger.Run(book) }()
	err := do(s)
	end()
	broken := <-ended
	select {
	case failed := <-lost: // whoever asked for the sync may have made do without it: the next start looks at the files
		broken = errors.Join(broken, failed)
	default:
	}
	return errors.Join(err, broken, s.Close(broken == nil))
}

// Draw makes the small files of a new state: an epoch and a ticket key.
func Draw(d *disk.Disk, dir string) (bundle.Epoch, error) {
	var epoch bundle.Epoch
	var ticket [32]byte
	_, _ = rand.Read(epoch[:])
	_, _ = rand.Read(ticket[:])
	for name, text := range map[string]string{EpochFile: epoch.String(), ticketKeyFile: hex.EncodeToString(ticket[:])} {
		if err := d.Replace(filepath.Join(dir, name), []byte(text+"\n")); err != nil {
			return epoch, fmt.Errorf("make the state: %w", err)
		}
	}
	return epoch, nil
}

// Redraw gives a state that nobody has open a new life: its memory of the former one was lost, or is old. It returns the files that it may have made.
func Redraw(d *disk.Disk, dir string) (epoch bundle.Epoch, files []string, err error) {
	lock, err := instance.Take(dir, stateVersion, d.Replace)
	if err != nil {
		return epoch, nil, err
	}
	epoch, err = Draw(d, dir)
	for _, name := range []string{"lock", "version", EpochFile, ticketKeyFile} {
		files = append(files, filepath.Join(dir, name))
	}
	return epoch, files, errors.Join(err, lock.Release())
}

// ReadEpoch reads which life of the sender a state is.
func ReadEpoch(d *disk.Disk, dir string) (bundle.Epoch, error) {
	text, err := d.ReadFile(filepath.Join(dir, EpochFile), 128)
	if errors.Is(err, fs.ErrNotExist) {
		return bundle.Epoch{}, fmt.Errorf("state %s: %w", dir, ErrNoEpoch)
	}
	if err != nil {
		return bundle.Epoch{}, fmt.Errorf("read the epoch: %w", err)
	}
	epoch, err := bundle.ParseEpoch(strings.TrimSpace(string(text)))
	if err != nil {
		return epoch, fmt.Errorf("read the epoch: %s is damaged: %w; %s", filepath.Join(dir, EpochFile), err, newLife)
	}
	return epoch, nil
}
