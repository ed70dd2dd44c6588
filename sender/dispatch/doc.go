// Package dispatch takes claimed items through their passes: it reads, signs, feeds the link, and puts the item away when the last pass is out.
//
//	Submit --> lane (tenant, class, first or later) --> pack --> feed --> ... --> out --> next pass, or sent
//	                                                      \--> sign --> manifest, close --/
//
// A lane is one goroutine that lives while it has tasks; lanes of one tenant overtake each other in the scheduler, not here. Signing waits for the disk, so it happens
// beside the lane: while one manifest becomes durable the next item is already being read, and many share the wait.
//
// It promises that an item is put away only when its bundle's state says so durably, that one item's failure holds up no other, and that a restart goes on with
// what was claimed: a bundle that was signed sends the same bytes, one that was not begins again.
//
// It refuses to send again what was never sent, or is no longer here, and content that is no longer what was signed or offered.
//
// It keeps section 7 of SPEC.md for the side that writes: what is offered, closed, abandoned and repeated.
package dispatch
