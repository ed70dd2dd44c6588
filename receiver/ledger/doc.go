// Package ledger is what the high side knows of every bundle: its state, why, who decided what, and its place in its sender's chain.
//
// Each bundle that got further than being received has one record file, bundles/<xx>/<id>.json, replaced whole at each change; it stays when the bundle is gone, as
// the tombstone that swallows what comes of it later. Each sender has one file of its chains, chains/<sender>.json. The catalog is a copy of both, and is made again from
// them, from receiving/ and from quarantine/ whenever it is missing or was not closed in order.
//
// What must never go down (epochs, floors, sessions, the highest sequence of each chain) stands once more in the anchor, two sealed copies. What is put back from an older copy
// while the daemon is stopped, or removed, is noticed by it, named, and held (rule Q-6); a small file that is damaged is refused by name. Neither is ever forgotten in silence.
//
// The table of states is in state.go. One way leads back from a state that has ended: refused -> receiving, for the reasons disk-full, quota and envelope, when the bundle is offered again
// and there is room. Its record file says refused until it gets another one; a crash in between costs nothing, since what is staged is still wanted then.
//
// It promises: a change is durable before it is reported; a change is one that the table of states allows; many changes share one sync and one transaction, and
// none is decided for the sake of another. The order is always: content and directories, record files, sync, catalog.
//
// It keeps section 11 of SPEC.md (rules) by asking bundle.Judge with what is held here.
package ledger
