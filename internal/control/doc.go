// Package control is the door between a daemon and the commands of its own machine: a pathname socket that speaks HTTP and JSON.
//
// It promises that every request is answered for a peer whose user the kernel names, that a peer without the right is refused before anything is read of what it
// wants, that every change that is asked for is logged with who asked, and that a command knows from one answer whether a daemon runs.
//
// It refuses requests above 1 MiB, unknown names, and fields that nobody knows.
package control
