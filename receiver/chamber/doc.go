// Package chamber is the lock between the two gates: it admits what is offered, closes behind what is whole, has it verified and held, lets people decide, and opens
// the second gate for what was released.
//
//	offer --> admitted, or refused           (tenant, quota, envelope, disk)
//	whole --> verified --> quarantined       (quarantine.Verify, ledger.Judge), or refused, or damaged again
//	      --> inspected (inspect): clean or flagged by the tenant's rules; clean / not-inspected where it has none
//	      --> approved: automatic, or by one or two people (release.Decide)
//	      --> delivered --> imported         (deliver), retried while a destination fails
//
// Where nobody is asked and the one destination takes by rename, modes and times are set while the bundle is staged, and its intent is noted with its quarantine: the destination is looked at
// before that, and nothing is written there.
//
// Every arrow is one change of the ledger; those that follow each other at once, into quarantine and to an automatic approval, become durable together. The chamber holds no state of its own that a restart would miss: what was approved and not delivered is found in
// the ledger, what was whole and not quarantined in the staging directory.
//
// It promises that nothing is released that was not verified as it stands, by fewer people than its tenant asks for, or while the state cannot vouch for it; that what our own disk
// keeps from being done is done later, and refuses nobody's bundle; and that one bundle's fault holds up no other.
//
// It refuses, each with its reason, what a sender may not send or there is no room for, what fails a check, and decisions on what is not in quarantine.
//
// It keeps rules R-9, G-2 and Q-6 of SPEC.md for what has to be decided.
package chamber
