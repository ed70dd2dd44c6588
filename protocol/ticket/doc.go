// Package ticket turns what the high side has to tell the low side into codes that a person carries: a ticket says what is missing, a receipt what is safe.
//
//	451G-...                                      what a person reads out and types
//	symbols of five bits, six to a group          each group with a check of its own, which also knows its place
//	kind, epoch, tenant, tag, body                what nobody makes without the sender's ticket key
//	Ticket{Bundle, Parts}, Receipt{Runs, Chain}   what it says
//
// It promises that a code has at most 128 characters; that what was mistyped is named by its group; that nothing a code says is read before its tag holds; and that a ticket which
// does not fit says more than is missing, never less, a receipt less than is safe, never more.
//
// It refuses every other form of a number or a list, codes of another sender or epoch, and codes that were not made under the ticket key. It knows nothing of disks, clocks
// or budgets.
//
// It keeps SPEC.md section 13 (T-1 to T-9).
package ticket
