package chamber

import (
	"crypto/sha512"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// Officers are the people whose signatures are decisions.
type Officers interface {
	// VerifyPerson tells who made an armored signature of a message with this SHA-512.
	VerifyPerson(armored []byte, namespace string, sum [64]byte, at time.Time) (name string, key ssh.PublicKey, err error)
	// Stands tells whether a key is that person's, and may sign in a namespace at a time, as the file says now.
	Stands(name, fingerprint, namespace string, at time.Time) bool
}

// SetOfficers replaces the officers; nil: decisions are no signatures, and a person is an account.
func (t *Trust) SetOfficers(o Officers) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.officers = o
}

// Officers returns the present officers, or nil.
func (t *Trust) Officers() Officers {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.officers
}

// rules are what a tenant asks for, with the officers that there are now.
func (c *Chamber) rules(tenant bundle.Name) release.Rules {
	t, officers := c.o.Tenants[tenant], c.o.Trust.Officers()
	rules := release.Rules{Mode: t.Release, Override: t.Override, Separate: t.Separate}
	if officers != nil {
		rules.Signed = true
		rules.Counts = func(d ledger.Decision) bool { return counts(officers, t, &d) }
	}
	return rules
}

// counts says whether what an officer has decided stands, as the file of officers is now: her key was hers when the decision was brought, and is not taken out since, by whatever of its line.
func counts(officers Officers, t Tenant, d *ledger.Decision) bool {
	return officers.Stands(d.Officer, d.Key, bundle.NamespaceRelease, d.At) && t.officer(d.Officer)
}

// stillOfficer says, in the step in which a decision becomes part of a record, that its officer is one no more: between her signature's check and this the whole bundle was verified, which may take minutes.
func (c *Chamber) stillOfficer(tenant bundle.Name, d *ledger.Decision) error {
	officers := c.o.Trust.Officers()
	switch {
	case officers == nil && d.Signature == "":
		return nil
	case officers == nil || d.Officer == "" || !counts(officers, c.o.Tenants[tenant], d):
		return bundle.Reject(bundle.ReasonDecisionOfficer, "D-4", "the file of officers was changed meanwhile")
	}
	return nil
}

// officer says whether a person may decide for the tenant: it lists her, or nobody.
func (t *Tenant) officer(name string) bool {
	return len(t.Officers) == 0 || slices.Contains(t.Officers, name)
}

// identify finds out who has made a decision about a bundle, by its signature, and notes that in it (SPEC.md rules D-3 and D-4).
func (c *Chamber) identify(r *ledger.Record, d *ledger.Decision) error {
	officers := c.o.Trust.Officers()
	switch {
	case officers == nil && d.Signature == "":
		return nil
	case officers == nil:
		return refused("a signature was given, and no file of officers is configured here that it could be held against (officers: in receiver.yaml)")
	case d.Signature == "":
		return refused("decisions are officers' signatures here: name your key (--key FILE, ECLUSE_KEY, --agent)")
	}
	text := release.Statement(r, *d)
	name, key, err := officers.VerifyPerson([]byte(d.Signature), bundle.NamespaceRelease, sha512.Sum512(text), c.o.Now())
	reason, rejected := bundle.ReasonOf(err)
	switch {
	case err == nil:
	case rejected && reason == bundle.ReasonSignatureInvalid:
		return bundle.Reject(bundle.ReasonDecisionOther, "D-3", "the signature is not one of this decision about this bundle")
	case rejected:
		return err
	default:
		return bundle.Reject(bundle.ReasonDecisionOfficer, "D-4", "%v", err)
	}
	t := c.o.Tenants[r.Tenant]
	if !t.officer(name) {
		return bundle.Reject(bundle.ReasonDecisionOfficer, "D-4", "%s is no officer of tenant %s", name, r.Tenant)
	}
	d.Officer, d.Key, d.Document = name, ssh.FingerprintSHA256(key), string(text)
	return nil
}
