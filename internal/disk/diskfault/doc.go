// Package diskfault is the disks of a machine that may fail, for tests: it stands behind the seam of package disk, over real directories.
//
//	Model      directories, each one a file system with its journal: what is not durable yet, and how to take it back
//	  Begin    -> Life     a disk.Probe: one process, which fails, fills up or dies at the act at which it was told to
//	  Crash    the machine after a kill (nothing is lost) or a power cut: the directories are put into a state in which a file system may stand then
//
// What a power cut may do:
//
//	names, modes, owners, truncations   Ordered: the last of them are lost, back to some point (ext4, XFS: one journal, in order)
//	                                    Loose:   any of them are, as long as none stands on one that is lost (what POSIX promises, and no more)
//	content                             each page of 4 KiB is what it was, what was written at any time since, or zeros where nothing was; the file may be shorter
//
// A sync of a file covers its content, size and mode; in an ordered journal also every act before the last one on its name. A sync of a directory covers its names, a sync of the
// system everything. Content whose sync has failed is never covered by a later one: the kernel has forgotten that it is dirty.
//
// It promises that the same acts in the same order and the same random numbers give the same state, that inodes stay what they are (a file whose rename is lost is the same file
// under its old name), and that nothing is touched that was made around the seam. It refuses, as the kernel does, a rename from one of its file systems to another.
//
// The content of each file that is written is held in memory until it is durable.
package diskfault
