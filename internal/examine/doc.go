// Package examine looks into content before anybody may release it, or send it.
//
//	caller --> Run: a child process, fenced in --> the files, one after another, held against the tenant's rules (internal/policy)
//	       <-- what was found                  <--
//
// What looks at content that others have made may be taken over by it. So it is done by a child of the daemon that can do little: it sees the item's files and may not change them, has a
// scratch directory of its own, opens no connection, starts nothing, and ends with its parent. On a kernel without landlock it runs with the daemon's rights, and the log says so.
//
// It promises that a child that crashes, hangs, runs out of memory or says anything but what was asked gives an error, and never a clean answer: the caller holds the item then.
package examine
