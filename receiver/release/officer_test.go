package release

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// by is an approval that an officer has signed, brought by an account.
func by(officer, key string, uid uint32) ledger.Decision {
	return ledger.Decision{Approve: true, Officer: officer, Key: key, UID: uid, Signature: "signed", At: time.Unix(1, 0)}
}

func walks[T any](steps []T, n int) (all [][]T) {
	all = [][]T{nil}
	for from := 0; n > 0; n-- {
		to := len(all)
		for _, w := range all[from:to] {
			for _, s := range steps {
				all = append(all, append(slices.Clone(w), s))
			}
		}
		from = to
	}
	return all
}

// Four eyes cannot be had with one person's two keys, one key under two names, two accounts, or an account without a signature: all walks of four approvals.
func TestFourEyesAreTwoPeople(t *testing.T) {
	approvals := []ledger.Decision{
		by("alice", "k1", 1), by("alice", "k2", 2), by("bob", "k3", 1), by("bob", "k1", 3), // k1 has been alice's
		{Approve: true, UID: 7, At: time.Unix(1, 0)}, by("gone", "k9", 9),
	}
	rules := Rules{Mode: ModeTwo, Signed: true, Counts: func(d ledger.Decision) bool { return d.Officer != "gone" }}
	opened, closed := 0, 0
	for _, walk := range walks(approvals, 4) {
		r := fresh()
		for _, d := range walk {
			_ = rules.Apply(r, d)
		}
		counts := func(d ledger.Decision) bool { // what was approved by one who is gone counts only as she says it
			return d.Officer != "" && (d.Officer != "gone" || d == r.Decisions[len(r.Decisions)-1])
		}
		two := false
		for i, a := range r.Decisions {
			for _, b := range r.Decisions[i+1:] {
				two = two || a.Officer != b.Officer && a.Key != b.Key && counts(a) && counts(b)
			}
		}
		if (r.State == ledger.Approved) != two {
			t.Fatalf("%v: ends %s with %+v", walk, r.State, r.Decisions)
		}
		if two {
			opened++
		} else {
			closed++
		}
	}
	if opened == 0 || closed == 0 {
		t.Fatalf("%d opened, %d did not: the test says nothing", opened, closed)
	}
}

// An approval of what is flagged says for what, with a reason, counts for nothing else, and is nothing where the tenant allows none.
func TestWhatIsFlaggedIsReleasedOnlyByPeopleWhoSayForWhat(t *testing.T) {
	flagged := func() *ledger.Record { return newRecord(ledger.Quarantined, ledger.Flagged, "policy-type", true, nil) }
	say := func(officer string, override bundle.Reason, reason string) ledger.Decision {
		d := by(officer, "key of "+officer, 1)
		d.Override, d.Reason = override, reason
		return d
	}
	allow := Rules{Mode: ModeOne, Signed: true, Override: true}
	two := Rules{Mode: ModeTwo, Signed: true, Override: true}
	for _, row := range []struct {
		name  string
		rules Rules
		r     *ledger.Record
		say   []ledger.Decision
		want  ledger.State
		cause Cause
	}{
		{"said", allow, flagged(), []ledger.Decision{say("alice", "policy-type", "seen by hand")}, ledger.Approved, 0},
		{"the tenant allows none", Rules{Mode: ModeOne, Signed: true}, flagged(), []ledger.Decision{say("alice", "policy-type", "seen")}, ledger.Quarantined, CauseVerdict},
		{"not said", allow, flagged(), []ledger.Decision{say("alice", "", "seen")}, ledger.Quarantined, CauseVerdict},
		{"for another thing", allow, flagged(), []ledger.Decision{say("alice", "policy-macro", "seen")}, ledger.Quarantined, CauseVerdict},
		{"without a reason", allow, flagged(), []ledger.Decision{say("alice", "policy-type", " ")}, ledger.Quarantined, CauseText},
		{"what is clean", allow, fresh(), []ledger.Decision{say("alice", "policy-type", "seen")}, ledger.Quarantined, CauseVerdict},
		{"two, one of them said it", two, flagged(), []ledger.Decision{say("alice", "policy-type", "seen"), say("bob", "", "seen")}, ledger.Quarantined, CauseVerdict},
		{"two", two, flagged(), []ledger.Decision{say("alice", "policy-type", "seen"), say("bob", "policy-type", "me too")}, ledger.Approved, 0},
		{"automatic asks one", Rules{Mode: ModeAutomatic, Override: true}, flagged(), []ledger.Decision{{Approve: true, UID: 1, Override: "policy-type", Reason: "seen"}}, ledger.Approved, 0},
	} {
		var err error
		for _, d := range row.say {
			err = row.rules.Apply(row.r, d)
		}
		var no *Refusal
		if row.r.State != row.want || (row.cause == 0) != (err == nil) || err != nil && (!errors.As(err, &no) || no.Cause != row.cause) {
			t.Errorf("%s: %s, %v", row.name, row.r.State, err)
		}
	}
	// What was approved while clean is not approved when it is flagged, nor the other way round.
	r := fresh()
	if err := two.Apply(r, say("alice", "", "")); err != nil {
		t.Fatal(err)
	}
	found, why := ledger.Flagged, "malware"
	r.Verdict, r.Reason = &found, &why
	if err := two.Apply(r, say("bob", "malware", "seen")); err != nil || r.State != ledger.Quarantined || two.Missing(r) != 1 {
		t.Errorf("an approval of what was clean counted for what is flagged: %s, %v", r.State, err)
	}
	if Automatic(ModeAutomatic, flagged()) {
		t.Error("what is flagged is released by itself")
	}
}

// One of two has known of it, then it was clean and released as such, by one who is enough now: found again, that is released by nobody.
func TestWhatOneOfTwoHasSaidCoversNothing(t *testing.T) {
	two, one := Rules{Mode: ModeTwo, Signed: true, Override: true}, Rules{Mode: ModeOne, Signed: true, Override: true}
	r := fresh()
	flag := func(v ledger.Verdict, why string) {
		r.Verdict, r.Reason = &v, &why
	}
	say := func(rules Rules, officer string, override bundle.Reason, want ledger.State) {
		t.Helper()
		d := by(officer, "key of "+officer, 1)
		d.Override, d.Reason = override, "seen"
		if err := rules.Apply(r, d); err != nil || r.State != want {
			t.Fatalf("%s: %v, %s", officer, err, r.State)
		}
	}
	say(two, "alice", "", ledger.Quarantined)
	flag(ledger.Flagged, "malware")
	say(two, "bob", "malware", ledger.Quarantined)
	flag(ledger.Clean, "")
	say(two, "carol", "", ledger.Approved)
	if two.Covers(r, "malware") || !one.Covers(r, "malware") || one.Covers(r, "policy-type") || one.Covers(r, "") || (Rules{Mode: ModeOne, Signed: true}).Covers(r, "malware") {
		t.Error("who has covered it")
	}
	one.Counts = func(d ledger.Decision) bool { return d.Officer != "bob" }
	if one.Covers(r, "malware") {
		t.Error("the word of one who is gone covers it")
	}
}

// What an approval says of a finding is held against it; what anything else says there would go into the record as it is: escapes for a terminal, or more than a record may hold.
func TestOnlyAnApprovalSpeaksOfAFinding(t *testing.T) {
	for _, override := range []bundle.Reason{"malware", "\x1b[2J", bundle.Reason(strings.Repeat("x", 1<<20))} {
		d := ledger.Decision{UID: 1, Reason: "no", Override: override, At: time.Unix(1, 0)}
		flagged, damaged := newRecord(ledger.Quarantined, ledger.Flagged, "malware", true, nil), newRecord(ledger.Damaged, "", "", true, nil)
		var no *Refusal
		if err := (Rules{Override: true}).Apply(flagged, d); !errors.As(err, &no) || no.Cause != CauseText || len(flagged.Decisions) > 0 || flagged.State != ledger.Quarantined {
			t.Errorf("%.20q: rejected: %v", override, err)
		}
		if err := GiveUp(damaged, d); !errors.As(err, &no) || no.Cause != CauseText || len(damaged.Decisions) > 0 || damaged.State != ledger.Damaged {
			t.Errorf("%.20q: given up: %v", override, err)
		}
		if err := GiveUp(&ledger.Record{}, d); err == nil {
			t.Errorf("%.20q: what is missing is given up", override)
		}
	}
}

func TestWhoHasSentOrSignedDoesNotReleaseWhereThatIsAsked(t *testing.T) {
	bundleOf := func() *ledger.Record {
		r := fresh()
		r.Sender, r.Key = "low", "senders key"
		r.Inspections = []ledger.Inspection{{Inspector: "signatures", Signers: []ledger.Signer{{Principal: "carol", Key: "ck"}}}}
		return r
	}
	for _, row := range []struct {
		d    ledger.Decision
		says string
	}{
		{by("low", "another", 1), "has sent it"}, {by("dave", "senders key", 1), "has sent it"}, {by("carol", "another", 1), "signed its content"}, {by("dave", "ck", 1), "signed its content"}, {by("dave", "dk", 1), ""},
	} {
		err := (Rules{Mode: ModeOne, Signed: true, Separate: true}).Apply(bundleOf(), row.d)
		if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s with %s: %v", row.d.Officer, row.d.Key, err)
		}
		if err := (Rules{Mode: ModeOne, Signed: true}).Apply(bundleOf(), row.d); err != nil {
			t.Errorf("%s where it is not asked: %v", row.d.Officer, err)
		}
	}
	// Whose signature is found only afterwards does not count either.
	r := bundleOf()
	signers := r.Inspections
	r.Inspections = nil
	rules := Rules{Mode: ModeTwo, Signed: true, Separate: true}
	if err := rules.Apply(r, by("carol", "ck", 1)); err != nil {
		t.Fatal(err)
	}
	r.Inspections = signers
	if err := rules.Apply(r, by("dave", "dk", 1)); err != nil || r.State != ledger.Quarantined {
		t.Errorf("%s, %v", r.State, err)
	}
}

func TestADecisionThatIsNoSignatureIsNoneWhereTheyAre(t *testing.T) {
	for _, d := range []ledger.Decision{yes(1), no(1)} {
		r := fresh()
		var refusal *Refusal
		if err := (Rules{Signed: true}).Apply(r, d); !errors.As(err, &refusal) || refusal.Cause != CauseOfficer || r.State != ledger.Quarantined {
			t.Errorf("%+v: %v, %s", d, err, r.State)
		}
	}
}

// What is signed says all that is decided, and two decisions that differ in anything have two texts.
func TestTheTextOfADecisionSaysAllOfIt(t *testing.T) {
	seven, eight := uint64(7), uint64(8)
	base := ledger.Record{Bundle: bundle.ID{1}, Sender: "low", Tenant: "cssf", Epoch: bundle.Epoch{2}, Sequence: &seven, Manifest: &ledger.Manifest{Digest: bundle.Digest{3}}}
	texts := make(map[string]string)
	note := func(name string, r ledger.Record, d ledger.Decision) {
		t.Helper()
		text := Statement(&r, d)
		if other := texts[string(text)]; other != "" {
			t.Errorf("%s is signed as %s is", name, other)
		}
		texts[string(text)] = name
		if _, err := bundle.ParseDecision(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	note("approve", base, ledger.Decision{Approve: true})
	note("reject", base, ledger.Decision{})
	note("with a reason", base, ledger.Decision{Approve: true, Reason: "a \"quoted\\\n reason"})
	note("although flagged", base, ledger.Decision{Approve: true, Override: "malware"})
	for name, change := range map[string]func(r *ledger.Record){
		"another bundle": func(r *ledger.Record) { r.Bundle = bundle.ID{9} }, "another manifest": func(r *ledger.Record) { r.Manifest = &ledger.Manifest{Digest: bundle.Digest{9}} },
		"another sender": func(r *ledger.Record) { r.Sender = "b" }, "another tenant": func(r *ledger.Record) { r.Tenant = "b" }, "another epoch": func(r *ledger.Record) { r.Epoch = bundle.Epoch{9} },
		"another sequence": func(r *ledger.Record) { r.Sequence = &eight }, "no manifest": func(r *ledger.Record) { r.Manifest = nil }, "no bundle": func(r *ledger.Record) { r.Bundle = bundle.ID{} },
	} {
		r := base
		change(&r)
		note(name, r, ledger.Decision{Approve: true})
	}
}
