// Package fence takes from a process what it does not need, for good: system calls (seccomp), capabilities, and by landlock the file system but for what it is given.
//
// Two kinds of process are fenced in: one that works alone (Alone: it starts nothing, and reaches nobody), and one that becomes a program of somebody else (Group: it starts others, but none of them leaves
// its process group, so that all end together). What either says is kept up to a bound (Output).
//
// It promises that what was taken does not come back, on any thread that it was taken from and in whatever program the process becomes. It refuses nothing by itself: what a kernel cannot take
// (Landlock says 0) is told, and the caller judges whether to go on without.
package fence
