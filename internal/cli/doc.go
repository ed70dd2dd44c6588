// Package cli is what the commands of both programs have in common: exit codes and how an error is told, JSON and text for people, names that cannot draw on a
// terminal, a progress bar, the log, and what systemd is told.
//
//	stdout   what was asked for, and nothing else
//	stderr   talk: progress, hints, errors
//
// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no such thing, 4 refused because a check did not hold.
package cli
