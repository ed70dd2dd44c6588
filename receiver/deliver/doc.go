// Package deliver opens the second gate: it puts approved bundles into a directory, each exactly once and never half.
//
//	quarantine/<tenant>/<id>/files/NAME
//	   | content holds against the manifest, modes and times are set           the same file system, and the content need not stay
//	   | or: copied to DIRECTORY/.NAME.ecluse-<id>, hashed on the way           any other case
//	   v
//	sync --> intent (name, inode) is durable --> rename to DIRECTORY/NAME --> sync of DIRECTORY --> the caller's ledger: imported
//
// What is released at once and only has to be moved is made ready while it is staged still, and its intent is noted with the change that puts it into quarantine (Prepare).
//
// It promises: under the final name stands the whole item or nothing of it; a kill between any two steps leaves something that the next attempt either finishes or
// removes, and what was renamed is never delivered again, even where somebody has taken it away meanwhile; nothing is a hard link to what is in quarantine; a name
// that is taken is treated as Clash says. It holds that by one rule: what an intent names is removed only after the intent was taken back, so where it is no longer in
// its place, the rename has happened.
//
// It refuses content that no longer matches (content-mismatch), a name that is taken (clash), and a destination that is missing, a symbolic link, full or not
// writable (destination): nothing appears there, the bundle stays approved, and the caller tries again. Names reach the destination only through os.Root or as a single
// component relative to its open directory.
//
// Owner's permission bits and times come from the manifest, group's and others' from the options; the umask and the quarantine's own modes have no say. A destination
// whose directory has the set-group-id bit hands its group on, as if the item had been created there.
//
// It uses the reasons content-mismatch, clash and destination of section 12 of SPEC.md.
package deliver
