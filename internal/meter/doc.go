// Package meter keeps the account of what tenants use: it closes months that are over, signs them, and knows how the envelopes stand.
//
//	rows of the catalog --> open months --> <state>/usage/2026-10.json          once, a day after the month
//	                          |                              2026-10.json.sig   by a key that ssh-keygen -Y verify knows from
//	                          v                              allowed_signers    ... beside them
//	                       report, envelopes <-- closed months
//
// It promises: figures of an open month are a sum over what is on record, so that a crash takes nothing away and adds nothing; a month is closed once and is never written again; what would be noted in a
// month that is closed already, since a clock was set back, is noted in the first that is open (Floor); rows that an open month needs are not purged before it is closed (Purgeable). A signature that
// cannot be made now, for want of an agent, is made later, over the same bytes.
//
// It refuses to guess a month whose statement is damaged, or gone from between others.
package meter
