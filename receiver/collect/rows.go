package collect

// SessionRow is one line of `sessions` in `status --json`. What is not known is null.
type SessionRow struct {
	Sender  *string `json:"sender"`  // name; fingerprint of a key that is not enrolled
	Session *uint64 `json:"session"` // number; of refused ones the last
	State   string  `json:"state"`   // "open" or "refused"
	Reason  *string `json:"reason"`  // null for an open one
	Count   uint64  `json:"count"`   // refusals; 1 for an open one
}

// Rows gives the open sessions and then the refused ones, each in a stable order.
func (s *Snapshot) Rows() []SessionRow {
	rows := make([]SessionRow, 0, len(s.Sessions)+len(s.Refused))
	for _, o := range s.Sessions {
		rows = append(rows, SessionRow{Sender: known(string(o.Sender)), Session: known(o.Number), State: "open", Count: 1})
	}
	for _, r := range s.Refused {
		rows = append(rows, SessionRow{known(r.Sender), known(r.Session), "refused", known(string(r.Reason)), r.Count})
	}
	return rows
}

// known is nil for a zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
