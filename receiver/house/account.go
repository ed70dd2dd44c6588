package house

import (
	"errors"

	"ecluse/internal/meter"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/ledger"
)

// Rows are what the account of a state is made of.
func Rows(state string, k chamber.Keep) meter.Rows {
	return ledger.Usage(state, k.Imported, k.Rejected)
}

func (s *State) openMeter() (err error) {
	if s.o.Account == nil {
		return nil
	}
	s.Meter, err = meter.Open(meter.Options{
		Book: meter.At(s.Dir, s.Disk), Rows: Rows(s.Dir, s.o.Keep), Side: "high", Name: s.o.Name, Terms: *s.o.Account,
		Now: s.Clock.Now, Aged: s.Clock.Aged, Counted: func(t string) int64 { return s.Ledger.Counted(bundle.Name(t)) }, Closed: s.Ledger.CloseUntil, Audit: s.Audit, Log: s.o.Log,
	})
	return err
}

// envelope implements chamber.Options.
func (s *State) envelope(tenant bundle.Name, coming, bytes int64) error {
	err := s.Meter.Left(string(tenant), coming, bytes)
	if full := (*meter.Full)(nil); errors.As(err, &full) {
		return bundle.Reject(bundle.ReasonEnvelope, "G-2", "%v", full)
	}
	return err
}
