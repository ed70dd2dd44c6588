// Package usage says what a tenant has used in a month, what that costs, how far its year's envelope is used up, and what a statement looks like. It is pure; both houses use it.
//
// What counts, each thing once and in one month (UTC):
//
//	            low side                                             high side
//	bundles     when its first passes are out                        when it is quarantined: whole, its signature and every SHA-256 held
//	files,bytes of those bundles, as dropped: not compressed         of those bundles
//	link        what passes and repairs took of the wire, parity     never: who receives cannot know it
//	            and headers too, by the link's rate
//	storage     from the claim until a receipt, or for keep.sent     from quarantine until keep: lets it go
//
// So a bundle that the low side could not send, or that the high side refused, counts in nothing but the storage and the link time that it took. Heartbeats, announcements and probes are nobody's.
// What passes take is noted once a minute and at their ends: of what had left when the process ended at most the last minute of the link is nobody's. The high side sees neither what was lost on its way nor the link's rate, and a share of what came
// would charge a tenant for another one's parity: its link time is null, and the low side's statement has it.
//
// It promises: figures are made of what is on record and of nothing else, so that whatever crashes, they are the same; amounts of money are decimal, exact until each line is rounded to hundredths, half up,
// and what is printed adds up; a month that was closed is not opened again, and has the prices of its closing.
//
// It refuses prices and amounts that are not plain decimals, and a statement that is not in its one form.
package usage
