package chamber

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// officer signs decisions.
type officer struct {
	t      testing.TB
	signer ssh.Signer
}

func newOfficer(t testing.TB) *officer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	return &officer{t, signer}
}

func (o *officer) line(name, options string) string {
	return fmt.Sprintf("%s %s%s", name, options, ssh.MarshalAuthorizedKey(o.signer.PublicKey()))
}

func (o *officer) sign(namespace string, text []byte) string {
	signature, err := o.signer.Sign(rand.Reader, bundle.SignedData(namespace, sha512.Sum512(text)))
	must(o.t, err)
	return string(bundle.Armor(bundle.MarshalSignature(o.signer.PublicKey(), namespace, signature)))
}

// officers sets the file of officers.
func (h *house) officers(lines ...string) {
	h.t.Helper()
	people, err := keys.ParsePeople([]byte(strings.Join(lines, "")))
	must(h.t, err)
	h.trust.SetOfficers(people)
}

// decided has an officer decide about an item, all by the same account.
func (h *house) decided(i *item, o *officer, d ledger.Decision) error {
	h.t.Helper()
	d.Signature = o.sign(bundle.NamespaceRelease, release.Statement(h.record(i), d))
	return h.brought(i, d)
}

func (h *house) brought(i *item, d ledger.Decision) error {
	d.Who, d.UID, d.At = "bringer", 1000, h.p.clock()
	_, err := h.Decide(context.Background(), i.id(), d)
	return err
}

// SPEC.md rules D-3 and D-4.
func TestADecisionIsAnOfficersSignature(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	alice, stranger, late, elsewhere := newOfficer(t), newOfficer(t), newOfficer(t), newOfficer(t)
	h.officers(alice.line("alice", `namespaces="release@ecluse" `), late.line("late", `valid-before="20000101Z" `), elsewhere.line("elsewhere", `namespaces="file" `))
	i, other := p.lows[0].pack(t, "cssf", small("x")), p.lows[0].pack(t, "cssf", small("y"))
	h.take(i, ledger.Quarantined)
	h.take(other, ledger.Quarantined)
	yes := ledger.Decision{Approve: true, Reason: "ticket 4711"}
	text := release.Statement(h.record(i), yes)
	for _, row := range []struct {
		name   string
		d      ledger.Decision
		reason bundle.Reason
	}{
		{"none", ledger.Decision{Approve: true}, ""},
		{"a stranger's", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: stranger.sign(bundle.NamespaceRelease, text)}, bundle.ReasonDecisionOfficer},
		{"one whose time is over", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: late.sign(bundle.NamespaceRelease, text)}, bundle.ReasonDecisionOfficer},
		{"one who may sign other things", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: elsewhere.sign(bundle.NamespaceRelease, text)}, bundle.ReasonDecisionOfficer},
		{"made for another thing", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: alice.sign(bundle.NamespaceBundle, text)}, bundle.ReasonSignatureFormat},
		{"garbage", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: "garbage"}, bundle.ReasonSignatureFormat},
		{"of another bundle", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: alice.sign(bundle.NamespaceRelease, release.Statement(h.record(other), yes))}, bundle.ReasonDecisionOther},
		{"of a rejection", ledger.Decision{Approve: true, Reason: yes.Reason, Signature: alice.sign(bundle.NamespaceRelease, release.Statement(h.record(i), ledger.Decision{Reason: yes.Reason}))}, bundle.ReasonDecisionOther},
		{"with another reason", ledger.Decision{Approve: true, Reason: "another", Signature: alice.sign(bundle.NamespaceRelease, text)}, bundle.ReasonDecisionOther},
	} {
		err := h.brought(i, row.d)
		if reason, _ := bundle.ReasonOf(err); err == nil || reason != row.reason || !strings.Contains(err.Error(), i.id().String()) {
			t.Errorf("%s: %v", row.name, err)
		}
		h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
	}
	must(t, h.decided(i, alice, yes))
	r := h.becomes(i, ledger.Imported)
	d := r.Decisions[0]
	if len(r.Decisions) != 1 || d.Officer != "alice" || d.Key != ssh.FingerprintSHA256(alice.signer.PublicKey()) || d.Document != string(text) || d.Reason != yes.Reason || d.UID != 1000 {
		t.Errorf("on record is %+v", r.Decisions)
	}
	refusedError(t, h.brought(other, ledger.Decision{Reason: "no"}), "signatures")
	must(t, h.decided(other, alice, ledger.Decision{Reason: "no"}))
	h.is(other, ledger.Rejected, bundle.ReasonRejected)
	if h.record(other).Decisions[0].Officer != "alice" {
		t.Error("a rejection is not signed")
	}
	h.trust.SetOfficers(nil)
	third := p.lows[0].pack(t, "cssf", small("z"))
	h.take(third, ledger.Quarantined)
	refusedError(t, h.decided(third, alice, yes), "no file of officers")
	must(t, h.brought(third, ledger.Decision{Approve: true}))
}

// One person's keys are one person's, also when one of them is enrolled for another; and an officer who is taken out takes her word with her.
func TestTwoOfficersAreTwoPeople(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeTwo)
	h := p.open(t)
	first, second, bob := newOfficer(t), newOfficer(t), newOfficer(t)
	all := []string{first.line("alice", ""), second.line("alice", ""), bob.line("bob", "")}
	h.officers(all...)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	yes := ledger.Decision{Approve: true}
	must(t, h.decided(i, first, yes))
	refusedError(t, h.decided(i, second, yes), "somebody else")
	if _, err := keys.ParsePeople([]byte(first.line("alice", "") + first.line("bob", ""))); err == nil {
		t.Error("one key is two people's")
	}
	h.officers(first.line("bob", ""), second.line("alice", ""))
	if err := h.decided(i, first, yes); err != nil { // alice's word is gone with her key, and this is the first
		t.Error(err)
	}
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
	h.officers(all...)
	if n := h.Undecided(h.record(i)); n != 1 {
		t.Errorf("%d people are missing", n)
	}
	for what, options := range map[string]string{"her time was over before": `valid-before="20000101Z" `, "her key is for other things": `namespaces="file" `} {
		h.officers(first.line("alice", options), bob.line("bob", ""))
		if n := h.Undecided(h.record(i)); n != 2 {
			t.Errorf("%s: %d people are missing", what, n)
		}
	}
	h.officers(first.line("alice", `valid-before="20990101Z" `), bob.line("bob", "")) // from some day on she decides no more; what she has decided stands
	must(t, h.decided(i, bob, yes))
	h.becomes(i, ledger.Imported)
}

// leaving is a file of officers that is changed as soon as a signature was held against it.
type leaving struct {
	Officers
	leave func()
}

func (l *leaving) VerifyPerson(armored []byte, namespace string, sum [64]byte, at time.Time) (string, ssh.PublicKey, error) {
	name, key, err := l.Officers.VerifyPerson(armored, namespace, sum, at)
	l.leave()
	return name, key, err
}

// Between the check of a signature and the step that makes it count all of a bundle is verified, which takes minutes.
func TestAnOfficerWhoIsTakenOutMeanwhileDecidesNothing(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	alice, bob := newOfficer(t), newOfficer(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	for what, after := range map[string]func(){
		"taken out": func() { h.officers(bob.line("bob", "")) }, "limited": func() { h.officers(alice.line("alice", `valid-before="20000101Z" `)) }, "no file any more": func() { h.trust.SetOfficers(nil) },
		"another's now": func() { h.officers(alice.line("bob", "")) },
	} {
		for _, d := range []ledger.Decision{{Approve: true}, {Reason: "no"}} {
			h.officers(alice.line("alice", ""))
			h.trust.SetOfficers(&leaving{h.trust.Officers(), after})
			err := h.decided(i, alice, d)
			if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonDecisionOfficer || !strings.Contains(err.Error(), i.id().String()) {
				t.Errorf("%s, approve %v: %v", what, d.Approve, err)
			}
			h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
		}
	}
	h.officers(alice.line("alice", ""))
	h.trust.SetOfficers(&leaving{h.trust.Officers(), func() { h.officers(bob.line("bob", "")) }})
	chain, sequence, d := ledger.Chain{Sender: p.lows[0].name, Tenant: "cssf"}, uint64(9), ledger.Decision{Reason: "lost", At: h.p.clock()}
	d.Signature = alice.sign(bundle.NamespaceRelease, release.Statement(&ledger.Record{Sender: chain.Sender, Tenant: chain.Tenant, Sequence: &sequence}, d))
	_, err := h.GiveUp(chain, sequence, d)
	if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonDecisionOfficer {
		t.Errorf("given up: %v", err)
	}
}

func TestATenantListsItsOfficers(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	tenant := p.tenants["cssf"]
	tenant.Officers = []string{"bob"}
	p.tenants["cssf"] = tenant
	h := p.open(t)
	alice, bob := newOfficer(t), newOfficer(t)
	h.officers(alice.line("alice", ""), bob.line("bob", ""))
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	err := h.decided(i, alice, ledger.Decision{Approve: true})
	if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonDecisionOfficer {
		t.Error(err)
	}
	must(t, h.decided(i, bob, ledger.Decision{Approve: true}))
	h.becomes(i, ledger.Imported)
}
