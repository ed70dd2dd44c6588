// Package release decides who may open the second gate: nobody has to (automatic), one person, or two different ones.
//
// It is pure: a record and a decision go in, the next state or a refusal comes out. It promises that only a bundle is approved that is quarantined, verified, clean
// and not held; that a person counts once, however often they ask; that one rejection is final; and that a rejection says why. It refuses everything else, also
// what it does not know: a verdict or a reason that a later version adds holds a bundle back until this table says otherwise.
//
// A person is an officer: a principal in the file of officers, whatever key she signs with. Where decisions are no signatures a person is an account, by uid. Everything that asks
// "is this the same person" asks the function person. Statement makes the text that is signed; whether a signature of it holds, and whose it is, is not decided here.
//
// It uses the reasons `epoch-new`, `signer-revoked` and `rejected` of section 12 of SPEC.md, and keeps rule D-3 for the text.
package release
