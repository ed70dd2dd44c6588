// Package surface holds both programs to what is relied upon from outside: commands, flags, keys, file names, states and exit codes.
//
// It has no code of its own but its tests. They build both programs once, and use them as a person or a script does: in directories of their own, over loopback,
// without rights that not everybody has. What needs root or a group of this machine says so and is skipped where it is missing.
//
// What holds a program to a time, or sends much, is alone on the machine. Tests that mostly wait for ten seconds to pass are parallel: they go together, behind all others.
package surface
