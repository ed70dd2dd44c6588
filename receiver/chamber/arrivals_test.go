package chamber

import (
	"os"
	"testing"
	"time"

	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// arrival is that of a tenant.
func (h *house) arrival() Arrival {
	h.t.Helper()
	all := h.Arrivals()
	if len(all) != 1 || all[0].Tenant != "cssf" || all[0].Limit != time.Hour {
		h.t.Fatalf("arrivals: %+v", all)
	}
	return all[0]
}

// How old the newest delivery is outlives the daemon, also where there never was one, and begins anew where a tenant gets a limit.
func TestTheAgeOfTheNewestDeliveryOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	fresh := func(limit time.Duration) {
		tenant := p.tenants["cssf"]
		tenant.Freshness = limit
		p.tenants["cssf"] = tenant
	}
	h := p.open(t)
	if all := h.Arrivals(); len(all) > 0 {
		t.Errorf("without a limit: %+v", all)
	}
	must(t, h.end(true))
	fresh(time.Hour)
	h = p.open(t)
	p.advance(3 * time.Hour)
	h = h.again()
	if r := h.arrival(); !r.Newest.IsZero() || r.Age(p.clock()) != 3*time.Hour {
		t.Errorf("nothing was ever delivered: %+v, for %v", r, r.Age(p.clock()))
	}
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	if r := h.arrival(); !r.Newest.IsZero() {
		t.Errorf("what is in quarantine is no delivery: %+v", r)
	}
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Imported)
	eventually(t, "its delivery is seen", func() bool { return h.arrival().Age(p.clock()) == 0 })
	p.advance(2 * time.Hour)
	if r := h.arrival(); r.Age(p.clock()) != 2*time.Hour {
		t.Errorf("%+v is %v old", r, r.Age(p.clock()))
	}
	h = h.again()
	if r := h.arrival(); r.Age(p.clock()) != 2*time.Hour || r.Newest.IsZero() {
		t.Errorf("after a restart: %+v is %v old", r, r.Age(p.clock()))
	}
	must(t, h.end(true))
	must(t, os.WriteFile(p.at(state, arrivalsName), []byte("damaged"), 0o600))
	h = p.open(t)
	if r := h.arrival(); !r.Since.Equal(p.clock()) {
		t.Errorf("of a damaged file: %+v", r)
	}
	must(t, h.end(true))
	fresh(0)
	must(t, p.open(t).end(true))
	p.advance(time.Hour)
	fresh(time.Hour)
	h = p.open(t)
	if r := h.arrival(); !r.Since.Equal(p.clock()) {
		t.Errorf("it got its limit again: %+v", r)
	}
}
