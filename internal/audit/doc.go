// Package audit keeps a log of what has happened, of which nothing can be changed, taken out, put in another order or cut off without that it shows.
//
//	<state>/audit/entries/0000000000000000    entries, one JSON line each, numbered from 0; a file is named by its first and has at most some MiB
//	<state>/audit/hashes                      every hash of the tree, in the order of tlog.StoredHashIndex: a copy, made again from the entries
//	<state>/audit/checkpoint                  the newest signed checkpoint
//	<state>/audit/key, key.pub                its Ed25519 key, in the form of golang.org/x/mod/sumdb/note
//	<state>/audit/damaged-1 ...               what was not what this side had signed: set aside whole, for people to look at
//
// The tree is that of RFC 6962 over the exact bytes of each line without its newline, as golang.org/x/mod/sumdb/tlog has it, and a checkpoint is a signed note with three lines:
// origin, number of entries, root hash in base64. Any tool for such logs can read and check both.
//
// It promises: an entry that is appended is durable with the next sync of its file system, whoever asks for that, so an entry costs no sync of its own. A checkpoint counts only
// entries that are durable and settled: their owner has said that they stand (Settle). What lies behind the newest checkpoint after a crash is given to the owner (Tail), who says
// which of it became true; there, and only there, a last line that a power cut has torn is cut off, and an entry says so.
//
// What an outsider may repeat without end, offers that are refused, would fill the disk with entries that stay for ever. So Fold counts what is like what was told often enough within
// the hour, and entries tell the counts: here, where an entry is the one thing that is durable and signed, and a count in it is as hard to change as what it counts. Counts that are in no
// entry are told by Settle once a minute, by Unfold at the end, and lost in a crash; nothing else is.
//
// A log that contradicts its own checkpoint is set aside and a new one is begun, which says so in its first entry: what it was cannot be mended, and what is not looked at any more
// must not be written on. The caller raises an alarm and goes on. To refuse instead would let whoever can change one byte of a log stop everything.
//
// Nothing of a log is ever let go. A log that may drop what is old has to say in an entry that it did, and whoever can make the daemon write one, by its configuration or by the key that
// stands beside the log, could have any deletion look like it: a checkpoint that was kept elsewhere, which shows a deletion now, would show that one no more. So Growth says how long the
// disk lasts, and Export makes a copy that anybody can check.
//
// It refuses nothing that root does: who holds the key can write another log. So checkpoints go elsewhere (Copies), and Verify holds a log against one that was kept there.
package audit
