package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

var (
	allModes    = []Mode{ModeOne, ModeTwo, ModeAutomatic}
	allStates   = append([]ledger.State{""}, ledger.States()...)
	allVerdicts = []ledger.Verdict{"-", ledger.Pending, ledger.Clean, ledger.Flagged, "of-a-later-version"}
	allReasons  = []string{"-", "", "not-inspected", "epoch-new", "signer-revoked", "content-mismatch", "route-stopped", "route-expired", "of-a-later-version"}
)

func yes(uid uint32) ledger.Decision {
	return ledger.Decision{Approve: true, UID: uid, At: time.Unix(1, 0)}
}

func no(uid uint32) ledger.Decision {
	return ledger.Decision{UID: uid, Reason: "not ours", At: time.Unix(1, 0)}
}

var people = []ledger.Decision{yes(1), yes(2), yes(3), no(1), no(2)}

// histories are all sequences of up to n decisions.
func histories(n int) [][]ledger.Decision {
	all := [][]ledger.Decision{nil}
	for from := 0; n > 0; n-- {
		to := len(all)
		for _, h := range all[from:to] {
			for _, d := range people {
				all = append(all, append(slices.Clone(h), d))
			}
		}
		from = to
	}
	return all
}

func newRecord(s ledger.State, verdict ledger.Verdict, reason string, verified bool, h []ledger.Decision) *ledger.Record {
	r := &ledger.Record{State: s, Decisions: h}
	if verdict != "-" {
		r.Verdict = &verdict
	}
	if reason != "-" {
		r.Reason = &reason
	}
	if verified {
		r.Manifest = &ledger.Manifest{}
	}
	return r
}

func fresh() *ledger.Record {
	return newRecord(ledger.Quarantined, ledger.Clean, "not-inspected", true, nil)
}

// TestNoWayToApprovedSkipsAStep tries every decision on every record and says independently what has to hold for the gate to open.
func TestNoWayToApprovedSkipsAStep(t *testing.T) {
	opened, tried := 0, 0
	for _, mode := range allModes {
		for _, s := range allStates {
			for _, v := range allVerdicts {
				for _, reason := range allReasons {
					for _, verified := range []bool{false, true} {
						for _, h := range histories(3) {
							r := newRecord(s, v, reason, verified, h)
							ready := s == ledger.Quarantined && v == ledger.Clean && verified && slices.Contains([]string{"-", "", "not-inspected"}, reason) &&
								!slices.ContainsFunc(h, func(d ledger.Decision) bool { return !d.Approve })
							if got, want := Automatic(mode, r), ready && mode == ModeAutomatic; got != want {
								t.Fatalf("Automatic(%s, %+v) = %v", mode, r, got)
							}
							for _, d := range people {
								tried++
								distinct := map[uint32]bool{d.UID: true}
								for _, e := range h {
									distinct[e.UID] = true
								}
								next, err := Rules{Mode: mode}.Decide(r, d)
								want := ready && d.Approve && len(distinct) >= map[Mode]int{ModeOne: 1, ModeTwo: 2, ModeAutomatic: 1}[mode]
								if got := next == ledger.Approved && err == nil; got != want {
									t.Fatalf("%s: state %q verdict %q reason %q verified %v history %v: %+v gives %q, %v", mode, s, v, reason, verified, h, d, next, err)
								}
								if want {
									opened++
								}
								var refusal *Refusal
								if err != nil && (!errors.As(err, &refusal) || refusal.Text == "" || refusal.Cause == 0 || next != s) {
									t.Fatalf("a refusal without its cause, or with another state: %q %#v", next, err)
								}
								if d.Approve && err == nil && !ready {
									t.Fatalf("%s: an approval counts for %+v", mode, r)
								}
							}
						}
					}
				}
			}
		}
	}
	if opened == 0 || opened == tried {
		t.Fatalf("%d of %d opened: the test says nothing", opened, tried)
	}
}

// TestEveryWalkEndsAsTheFirstFinalDecisionSays walks all sequences of five decisions from a fresh record.
func TestEveryWalkEndsAsTheFirstFinalDecisionSays(t *testing.T) {
	for _, mode := range allModes {
		for _, h := range histories(5) {
			r := fresh()
			for i, d := range h {
				before := r.State
				if err := (Rules{Mode: mode}).Apply(r, d); err != nil {
					continue
				}
				if before == ledger.Rejected || before == ledger.Approved && d.Approve {
					t.Fatalf("%s: %v: decision %d changed what was final", mode, h, i)
				}
			}
			voters := make(map[uint32]bool)
			for _, d := range r.Decisions {
				if d.Approve {
					if voters[d.UID] {
						t.Fatalf("%s: %v: person %d counts twice", mode, h, d.UID)
					}
					voters[d.UID] = true
				}
			}
			rejects := slices.ContainsFunc(h, func(d ledger.Decision) bool { return !d.Approve })
			switch {
			case rejects != (r.State == ledger.Rejected):
				t.Fatalf("%s: %v ends %s", mode, h, r.State)
			case r.State == ledger.Rejected && (r.Reason == nil || *r.Reason != "rejected" || r.Detail != "not ours"):
				t.Fatalf("%s: %v: no reason is kept: %+v", mode, h, r)
			case r.State == ledger.Approved && len(voters) < mode.People():
				t.Fatalf("%s: %v: approved by %d", mode, h, len(voters))
			case r.State == ledger.Quarantined && (Rules{Mode: mode}).Missing(r) == 0:
				t.Fatalf("%s: %v: nobody is missing and it is still held", mode, h)
			}
		}
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	done := time.Unix(2, 0)
	with := func(change func(r *ledger.Record)) *ledger.Record {
		r := fresh()
		change(r)
		return r
	}
	verdict := func(v ledger.Verdict) func(*ledger.Record) { return func(r *ledger.Record) { r.Verdict = &v } }
	for _, row := range []struct {
		name  string
		mode  Mode
		r     *ledger.Record
		d     ledger.Decision
		cause Cause
		text  string
	}{
		{"flagged", ModeOne, with(verdict(ledger.Flagged)), yes(1), CauseVerdict, "flagged"},
		{"pending", ModeOne, with(func(r *ledger.Record) { v := ledger.Pending; r.Verdict, r.Reason = &v, nil }), yes(1), CauseVerdict, "pending"},
		{"not given", ModeOne, with(func(r *ledger.Record) { r.Verdict, r.Reason = nil, nil }), yes(1), CauseVerdict, "not given"},
		{"epoch-new", ModeOne, newRecord(ledger.Quarantined, ledger.Pending, "epoch-new", true, nil), yes(1), CauseHeld, "pair it again"},
		{"revoked", ModeTwo, newRecord(ledger.Quarantined, ledger.Clean, "signer-revoked", true, nil), yes(1), CauseHeld, "signer-revoked"},
		{"twice by one", ModeTwo, with(func(r *ledger.Record) { r.Decisions = []ledger.Decision{yes(1)} }), yes(1), CauseRepeated, "somebody else"},
		{"twice by one under another name", ModeTwo, with(func(r *ledger.Record) { r.Decisions = []ledger.Decision{{Approve: true, UID: 1, Who: "ann"}} }), ledger.Decision{Approve: true, UID: 1, Who: "bob"}, CauseRepeated, "somebody else"},
		{"approved already", ModeOne, newRecord(ledger.Approved, ledger.Clean, "-", true, nil), yes(1), CauseState, "approved already"},
		{"still coming", ModeOne, newRecord(ledger.Receiving, "-", "-", false, nil), yes(1), CauseState, "receiving"},
		{"never verified", ModeOne, newRecord(ledger.Quarantined, ledger.Clean, "-", false, nil), yes(1), CauseState, "never verified"},
		{"rejected before", ModeOne, with(func(r *ledger.Record) { r.Decisions = []ledger.Decision{no(7)} }), yes(1), CauseRejected, "uid:7"},
		{"reject without a reason", ModeOne, fresh(), ledger.Decision{UID: 1, Reason: " \n"}, CauseText, "--reason"},
		{"reject what is delivered", ModeOne, newRecord(ledger.Imported, ledger.Clean, "-", true, nil), no(1), CauseState, "imported"},
		{"reject what is on its way", ModeOne, with(func(r *ledger.Record) {
			r.State, r.Deliveries = ledger.Approved, []ledger.Delivery{{Destination: "/srv", Name: "n", Inode: 1}}
		}), no(1), CauseDelivery, "/srv"},
		{"reject what one destination has", ModeOne, with(func(r *ledger.Record) {
			r.State, r.Deliveries = ledger.Approved, []ledger.Delivery{{Destination: "/a", Done: &done}, {Destination: "/b"}}
		}), no(1), CauseDelivery, "/a"},
		{"a terminal's escape in the reason", ModeOne, fresh(), ledger.Decision{UID: 1, Reason: "a\x1b[2J"}, CauseText, "control"},
		{"a bidirectional control in the reason", ModeOne, fresh(), ledger.Decision{UID: 1, Reason: "a\u202eb"}, CauseText, "control"},
		{"no UTF-8 in the reason", ModeOne, fresh(), ledger.Decision{UID: 1, Reason: "a\xff"}, CauseText, "UTF-8"},
		{"a novel as the reason", ModeOne, fresh(), ledger.Decision{UID: 1, Reason: strings.Repeat("a", MaxReason+1)}, CauseText, "1024"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := fmt.Sprintf("%+v", *row.r)
			err := Rules{Mode: row.mode}.Apply(row.r, row.d)
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Cause != row.cause || !strings.Contains(refusal.Text, row.text) {
				t.Errorf("got %#v", err)
			}
			if after := fmt.Sprintf("%+v", *row.r); after != before {
				t.Errorf("a refused decision changed the record:\n%s\n%s", before, after)
			}
		})
	}
}

func TestWhatIsAllowed(t *testing.T) {
	for _, row := range []struct {
		name string
		mode Mode
		r    *ledger.Record
		d    ledger.Decision
		want ledger.State
	}{
		{"one person", ModeOne, fresh(), yes(0), ledger.Approved},
		{"the first of two", ModeTwo, fresh(), yes(1), ledger.Quarantined},
		{"the second of two", ModeTwo, newRecord(ledger.Quarantined, ledger.Clean, "-", true, []ledger.Decision{yes(1)}), yes(2), ledger.Approved},
		{"the same person, after the tenant went from two to one", ModeOne, newRecord(ledger.Quarantined, ledger.Clean, "-", true, []ledger.Decision{yes(1)}), yes(1), ledger.Approved},
		{"reject what is flagged", ModeTwo, newRecord(ledger.Quarantined, ledger.Flagged, "-", true, nil), no(1), ledger.Rejected},
		{"reject what is held", ModeTwo, newRecord(ledger.Quarantined, ledger.Pending, "epoch-new", true, nil), no(1), ledger.Rejected},
		{"reject what cannot be delivered", ModeOne, newRecord(ledger.Approved, ledger.Clean, "clash", true, []ledger.Decision{yes(1)}), no(1), ledger.Rejected},
		{"a reason with names of people", ModeOne, fresh(), ledger.Decision{UID: 1, Reason: "vu par Zoë 👩‍👩‍👧 « ok »\net\u00a0voilà"}, ledger.Rejected},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, err := (Rules{Mode: row.mode}).Decide(row.r, row.d); got != row.want || err != nil {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestModesHaveTheWordsOfTheConfiguration(t *testing.T) {
	for _, m := range allModes {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	for _, s := range []string{"", "One", "none", "three", "automatic "} {
		if m, err := ParseMode(s); err == nil || m != ModeOne {
			t.Errorf("%q is taken as %s", s, m)
		}
	}
	if reason := bundle.ReasonRejected; reason != "rejected" {
		t.Errorf("the reason of a rejection is %s", reason)
	}
}
