// Package command has a program of the site look at a bundle. It gets the path of the item as its last argument, and says one JSON value on its standard output, with exit code 0:
//
//	{"verdict": "clean" | "flagged", "version": "...", "findings": [{"path": "...", "text": "..."}]}
//
// A single file is shown under a second name, in a directory that says nothing of tenant and bundle; its own name is the last element of the path, as programs go by that. A directory is shown where it
// stands.
//
// What looks at content that others have made may be taken over by it, and nobody here knows how well it was written. So it runs fenced in (fence.go): it sees the item, the system's programs and what
// the configuration names, and may change none of it; it has a scratch directory of its own with a bound; no network, unless the configuration says so; nothing of other processes; bounds on memory,
// files and processes, and an end, with all that it has started, when its time is over. Where the daemon is root it runs under a number that no user has.
//
// It promises that a program that crashes, hangs, ends with another code, says nothing, says more than one answer, a key twice or one that is not known, or clean together with findings, is an error.
// It refuses to run one where the kernel has no landlock.
package command
