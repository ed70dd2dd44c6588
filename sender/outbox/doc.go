// Package outbox sees what operators drop, decides when it is whole, claims it by rename, and puts it away afterwards.
//
//	outbox/<tenant>/NAME                        what an operator drops; nothing is ever deleted here
//	outbox/<tenant>/.NAME.ecluse-reason.txt     why NAME cannot be claimed; goes when NAME goes or is claimed
//	outbox/<tenant>/.ecluse/sending/<id>/NAME   claimed: what a bundle is read from
//	outbox/<tenant>/.ecluse/sent/<sequence>/NAME
//	outbox/<tenant>/.ecluse/failed/<id>/NAME    with REASON.txt beside it
//
// It promises that an item is taken whole: at once when it appeared by rename, else when all of it has stood still for a while and no writer
// holds a file of it; that an item is in one place at every instant, so that a crash loses and doubles nothing; that one item which cannot be taken
// holds up no other; and that nothing is removed before purge is told to.
//
// It refuses to work in an .ecluse that somebody else made, and follows no symbolic link. What an item holds is not its business: links, devices and
// names that cannot travel are claimed like everything else, and refused by the room that reads them.
package outbox
