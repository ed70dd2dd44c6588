package meter

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/ssh"

	"ecluse/internal/audit"
	"ecluse/internal/keys"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

// Signer signs statements: an identity.
type Signer interface {
	Public() ssh.PublicKey
	Sign(namespace string, message []byte) ([]byte, error)
}

// Audit takes an entry, durably.
type Audit interface{ Note(audit.Entry) error }

// Options of a Meter.
type Options struct {
	Book Book
	Rows Rows
	Side string // low or high
	Name string // of this side
	Terms
	Sign func() (Signer, error) // nil: the key in the book, which is made when it is needed first
	Now  func() time.Time       // by which things are noted
	Aged func() time.Time       // by which things are old: never later than what has really passed
	// Counted is how many bytes of a tenant began to count since the start, and Lagging says that the catalog does not know all that is on record yet. Both may be nil.
	Counted func(tenant string) int64
	Lagging func() bool
	// Look is called before each look at the rows; may be nil.
	Look func()
	// Closed is told the first moment that is not in a closed month, when that changes; may be nil.
	Closed func(floor time.Time)
	Audit  Audit // is told of months that are closed, and signed; may be nil
	Log    *zap.Logger
}

// The times of a Meter.
const (
	grace     = 24 * time.Hour   // after a month, until it is closed
	lookEvery = 10 * time.Second // where there are envelopes: else each minute
	signAgain = 10 * time.Minute // after a signature that could not be made: an agent may ask a person each time
	closeMost = 12               // months that are closed at once, so that a start is not held up
)

// Meter is the account of a running house. Its methods may be called from several goroutines; Tick by one at a time.
type Meter struct {
	o Options

	ticked   time.Time // Tick's own, as what follows
	signed   time.Time
	unsigned string
	sealed   map[usage.Month]bool // signed
	known    map[usage.Month]*usage.MonthReport

	mu        sync.Mutex
	floor     time.Time // all before it is closed; zero: nothing is
	open      time.Time // no row that ended before it counts in an open month; zero: not known yet
	standings map[string]usage.Standing
	counted   map[string]int64 // what Options.Counted was when standings were made
	failed    error
}

// Open takes the account up. Nothing is closed yet.
func Open(o Options) (*Meter, error) {
	m := &Meter{o: o, sealed: make(map[usage.Month]bool), known: make(map[usage.Month]*usage.MonthReport), failed: errors.New("the account was not looked at yet")}
	if m.o.Sign == nil {
		m.o.Sign = m.ownKey
	}
	list, err := o.Book.Months()
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		m.raise(list[len(list)-1].End())
	}
	return m, nil
}

// raise notes that all before a time is closed.
func (m *Meter) raise(floor time.Time) {
	m.mu.Lock()
	m.floor = floor
	m.mu.Unlock()
	if m.o.Closed != nil {
		m.o.Closed(floor)
	}
}

// Floor is the first moment that is not in a closed month: what is noted is noted from then on. Zero: none is closed.
func (m *Meter) Floor() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.floor
}

// Purgeable is the time before which rows must have ended to be purged, of which keep.rows says before: none goes that an open month needs. after is how long a row may count behind its end.
func (m *Meter) Purgeable(before time.Time, after time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch needed := m.open.Add(-after); {
	case m.open.IsZero():
		return time.Unix(0, 0) // of the catalog's numbers the first
	case needed.Before(before):
		return needed
	}
	return before
}

func (m *Meter) needs(open time.Time) {
	m.mu.Lock()
	m.open = open
	m.mu.Unlock()
}

// Run ticks until ctx ends.
func (m *Meter) Run(ctx context.Context) error {
	every := time.Minute
	if slices.ContainsFunc(m.o.Tenants, func(t Tenant) bool { return t.Envelope.Given }) {
		every = lookEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := m.Tick(ctx); err != nil && ctx.Err() == nil {
			m.o.Log.Error("keep the account of what tenants use", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Tick closes what is over, signs what is not signed, and looks at the envelopes.
func (m *Meter) Tick(ctx context.Context) error {
	err := m.closeMonths(ctx)
	return errors.Join(err, m.signAll(), m.Look(ctx))
}

// closeMonths closes the months that ended long enough ago, one after another.
func (m *Meter) closeMonths(ctx context.Context) error {
	if m.o.Lagging != nil && m.o.Lagging() {
		return nil // the rows do not tell all yet
	}
	list, err := m.o.Book.Months()
	if err != nil {
		return err
	}
	var next usage.Month
	aged := m.o.Aged()
	if len(list) > 0 {
		next = list[len(list)-1] + 1
	} else {
		at, ok, err := m.o.Rows.First(ctx)
		if err != nil {
			return err
		}
		if !ok {
			m.needs(aged)
			return nil
		}
		next = usage.MonthOf(at)
	}
	defer func() { m.needs(next.Start()) }()
	for n := 0; n < closeMost && !aged.Before(next.End().Add(grace)); n++ {
		if err := m.closeOne(ctx, next, aged); err != nil {
			return err
		}
		next++
	}
	return nil
}

func (m *Meter) closeOne(ctx context.Context, month usage.Month, now time.Time) error {
	if m.Floor().Before(month.End()) {
		m.raise(month.End()) // from here on nothing is noted in it
	}
	figures, err := m.o.Rows.Figures(ctx, month, now)
	if err != nil {
		return fmt.Errorf("close %v: %w", month, err)
	}
	s := usage.NewStatement(m.o.Side, m.o.Name, month, now, figures, &m.o.Prices)
	if err := m.o.Book.disk.MkdirAll(m.o.Book.dir); err != nil {
		return fmt.Errorf("close %v: %w", month, err)
	}
	if err := m.o.Book.disk.Replace(m.o.Book.Path(month), s.Text()); err != nil {
		return fmt.Errorf("close %v: %w", month, err)
	}
	m.o.Log.Info("month closed", zap.Stringer("month", month), zap.Int("tenants", len(s.Tenants)))
	if err := m.tell("month-closed", month, s.Text()); err != nil {
		return fmt.Errorf("close %v: %w", month, err) // it is: its signature will be told too, and says the same
	}
	return nil
}

// tell tells the audit log of a statement.
func (m *Meter) tell(event string, month usage.Month, statement []byte) error {
	if m.o.Audit == nil {
		return nil
	}
	data, err := json.Marshal(struct {
		Statement string `json:"statement"` // SHA-256
	}{fmt.Sprintf("%x", sha256.Sum256(statement))})
	if err != nil {
		return err
	}
	return m.o.Audit.Note(audit.Entry{Event: event, Text: month.String(), Data: data})
}

// signAll signs the closed months that are not signed.
func (m *Meter) signAll() error {
	if m.unsigned != "" && m.o.Aged().Sub(m.signed) < signAgain {
		return nil
	}
	list, err := m.o.Book.Months()
	if err != nil {
		return err
	}
	var signer Signer
	for _, month := range list {
		if m.sealed[month] {
			continue
		}
		text, sig, err := m.o.Book.Text(month)
		if err != nil {
			return err
		}
		if sig != nil {
			m.sealed[month] = true
			continue
		}
		if signer == nil {
			if signer, err = m.signer(); err != nil {
				return m.later(err)
			}
		}
		if err := m.sign(signer, month, text); err != nil {
			return m.later(err)
		}
	}
	m.unsigned = ""
	return nil
}

// later notes that a signature could not be made. It is told once for each cause.
func (m *Meter) later(err error) error {
	m.signed = m.o.Aged()
	if m.unsigned == err.Error() {
		return nil
	}
	m.unsigned = err.Error()
	return fmt.Errorf("a closed month stays unsigned for now: %w", err)
}

// signer gives who signs, and has those who check know the key.
func (m *Meter) signer() (Signer, error) {
	s, err := m.o.Sign()
	if err != nil {
		return nil, err
	}
	name, err := bundle.ParseName(m.o.Name)
	if err != nil {
		return nil, err
	}
	if err := m.o.Book.disk.MkdirAll(m.o.Book.dir); err != nil {
		return nil, err
	}
	return s, m.enrol(signerLine(string(name), s.Public()))
}

// enrol adds a line to who signs. Those of former keys and names stay: what they signed is to be checked for years.
func (m *Meter) enrol(line string) error {
	text, err := m.o.Book.disk.ReadFile(m.o.Book.Signers(), statementLimit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read who signs: %w", err)
	}
	if strings.Contains("\n"+string(text), "\n"+line) {
		return nil
	}
	return m.o.Book.disk.Replace(m.o.Book.Signers(), append(text, line...))
}

// sign refuses to sign what is no statement: a file that was damaged since would be signed as if it were.
func (m *Meter) sign(s Signer, month usage.Month, text []byte) error {
	if _, err := usage.ParseStatement(text, month); err != nil {
		return err
	}
	blob, err := s.Sign(usage.Namespace, text)
	if err != nil {
		return err
	}
	if err := m.tell("month-signed", month, text); err != nil { // before it is: no statement is signed of which the log does not tell
		return err
	}
	return m.o.Book.disk.Replace(SignatureOf(m.o.Book.Path(month)), bundle.Armor(blob))
}

// ownKey is the book's own, made when it is needed first.
func (m *Meter) ownKey() (Signer, error) {
	path := filepath.Join(m.o.Book.dir, keyFile)
	if _, err := m.o.Book.disk.ReadFile(path, 64<<10); errors.Is(err, fs.ErrNotExist) {
		if err := m.o.Book.disk.MkdirAll(m.o.Book.dir); err != nil {
			return nil, err
		}
		if _, err := keys.GenerateIdentity(path, m.o.Name); err != nil {
			return nil, err
		}
	}
	return keys.LoadIdentity(path)
}

// Look notes how the envelopes stand. It is called before the first Left is asked for.
func (m *Meter) Look(ctx context.Context) error {
	counted := make(map[string]int64)
	if m.o.Counted != nil {
		for _, t := range m.o.Tenants {
			counted[t.Name] = m.o.Counted(t.Name) // before the rows are read: what comes meanwhile counts twice until the next look, never not at all
		}
	}
	if m.o.Look != nil {
		m.o.Look()
	}
	standings, err := m.stand(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if m.standings == nil {
			m.failed = err
		}
		return err
	}
	m.standings, m.counted, m.failed = make(map[string]usage.Standing), counted, nil
	for _, s := range standings {
		m.standings[s.Tenant] = s
	}
	return nil
}

func (m *Meter) stand(ctx context.Context) ([]usage.Standing, error) {
	if !slices.ContainsFunc(m.o.Tenants, func(t Tenant) bool { return t.Envelope.Given }) {
		return nil, nil
	}
	a, err := newAccount(ctx, m.o.Book, m.o.Rows, &m.o.Prices, m.o.Now(), m.known)
	if err != nil {
		return nil, err
	}
	return a.Stand(ctx, m.o.Tenants)
}

// Standings are those of the last look, in the order of tenants.
func (m *Meter) Standings() []usage.Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []usage.Standing{}
	for _, t := range m.o.Tenants {
		if s, ok := m.standings[t.Name]; ok {
			list = append(list, s)
		}
	}
	return list
}

// Full is returned by Left where an envelope that stops holds no more.
type Full struct{ Why error }

func (f *Full) Error() string { return f.Why.Error() }

// Left says whether a tenant's envelope, where it stops, holds bytes more beside what is on its way: nil, a *Full, or an error that says that nobody knows.
func (m *Meter) Left(tenant string, coming, bytes int64) error {
	i := slices.IndexFunc(m.o.Tenants, func(t Tenant) bool { return t.Name == tenant })
	if i < 0 || !m.o.Tenants[i].Envelope.Stop {
		return nil
	}
	since := int64(0)
	if m.o.Counted != nil {
		since = m.o.Counted(tenant)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return fmt.Errorf("its envelope is not known: %w", m.failed)
	}
	s := m.standings[tenant]
	if err := s.Left(coming+since-m.counted[tenant], bytes); err != nil {
		return &Full{err}
	}
	return nil
}
