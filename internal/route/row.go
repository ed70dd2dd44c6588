package route

import (
	"fmt"
	"strings"
	"time"

	"ecluse/internal/config"
	"ecluse/protocol/bundle"
)

// Row is a tenant's route as status shows it. What is not known is null.
type Row struct {
	Tenant  bundle.Name    `json:"tenant"`
	Open    bool           `json:"open"`
	Reason  *bundle.Reason `json:"reason"` // why it is closed
	Owner   *string        `json:"owner"`
	Contact *string        `json:"contact"`
	Expires *config.Date   `json:"expires"`
}

// Rows are the routes that are configured.
func (b *Book) Rows(now time.Time) []Row {
	rows := []Row{}
	for _, name := range b.Tenants() {
		b.mu.Lock()
		f := b.facts[name]
		b.mu.Unlock()
		r := Row{Tenant: name, Open: true}
		if reason, ok := bundle.ReasonOf(b.Closed(name, now)); ok {
			r.Open, r.Reason = false, &reason
		}
		if f.Owner != "" {
			r.Owner = &f.Owner
		}
		if f.Contact != "" {
			r.Contact = &f.Contact
		}
		if !f.Expires.IsZero() {
			r.Expires = &f.Expires
		}
		rows = append(rows, r)
	}
	return rows
}

// String is the row in words.
func (r Row) String() string {
	words := []string{"open"}
	if r.Reason != nil {
		words[0] = "closed: " + string(*r.Reason)
	}
	if r.Owner != nil {
		words = append(words, "of "+*r.Owner)
	}
	if r.Contact != nil {
		words = append(words, "ask "+*r.Contact)
	}
	if r.Expires != nil {
		words = append(words, "until "+r.Expires.String())
	}
	return fmt.Sprintf("tenant %s: %s", r.Tenant, strings.Join(words, ", "))
}
