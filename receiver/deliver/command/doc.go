// Package command hands approved bundles to a program of this machine.
//
// The program and its arguments are what the configuration says, without a shell; an argument that is {dir} is the directory that holds the item. The bundle's facts are in its environment (ECLUSE_BUNDLE,
// ECLUSE_TENANT, ECLUSE_NAME, ECLUSE_DIR ...) and, as JSON, on its standard input. It has nothing else of the daemon's environment, and runs as the daemon's user, within its unit.
//
// It promises that all content was held against the manifest just before the program was started. Exit status 0 is a delivery; anything else is none, with the last line of what the program wrote to standard
// error. It ends when its time is over, or the daemon ends: first it is asked to (SIGTERM), then it is killed, and all that it has started in its process group with it. When the daemon is killed it is killed too.
//
// The program may be started again for a bundle that it has taken: after a crash of this machine, or when its success could not be put on record. It must not change what it reads, which other destinations wait
// for: they would refuse it.
package command
