package route

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ecluse/internal/config"
)

// Facts are what the configuration says of a tenant's route. The zero Facts are an open route of which nothing is known.
type Facts struct {
	Disabled      bool // enabled: false
	Owner         string
	Contact       string
	Justification string
	Expires       config.Date // the last day, by UTC

	gone bool // it stands in the configuration no more, and the house still knows the tenant
}

// printable says whether a text can be shown as it is: it ends in terminals and logs.
func printable(s string, lines bool) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool {
		return !unicode.IsPrint(c) && c != '\u00a0' && c != '\u202f' && c != '\u200c' && c != '\u200d' && (!lines || c != '\n')
	})
}

// notice is how long before its end a route is spoken of.
const notice = 30 * 24 * time.Hour

// expired says whether the last day is over.
func (r *Facts) expired(now time.Time) bool {
	return !r.Expires.IsZero() && !now.Before(r.Expires.End())
}

// expires says whether the last day is near.
func (r *Facts) expires(now time.Time) bool {
	return !r.Expires.IsZero() && !r.expired(now) && !now.Before(r.Expires.End().Add(-notice))
}

// Left is in how many days a route ends; 0 on the last one.
func (r *Facts) Left(now time.Time) int { return int(r.Expires.End().Sub(now) / (24 * time.Hour)) }
