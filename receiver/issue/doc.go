// Package issue is the desk at which people ask for codes to carry back to the low side: tickets, which say what is missing, and receipts, which say what is safe.
//
//	heartbeat --> Keys.Heard --> tickets/keys/<sender>.json     the sender's ticket key of each epoch
//	Ticket, All, Receipts --> budget --> tickets/issued.json    what was issued today, and to whom
//	                      \--> protocol/ticket --> a code
//
// A code goes from high to low, so it is a channel. The desk promises that no code leaves before it is durably counted and logged with who asked for it and what it names, and that
// on one day (UTC, by the receiver's clock, which only moves forward) there are no more of them than the policy allows. A code that was issued before on the same day says
// nothing new and is not counted again.
//
// It refuses to name what nobody can send again: bundles that were refused or have ended, those of an epoch that was replaced, and those that are still coming in.
//
// It keeps rules T-10 to T-12 of SPEC.md.
package issue
