// Package pack turns one claimed item into chunks, reading it as often as it is sent.
//
//	Walk:   stat every name, once         -> the list of files, and what each was like
//	First:  read -> mark, zstd -> Next    -> at the end: a SHA-256 for each file, a mark for each chunk
//	             \-> SHA-256
//	Again:  read -> mark as before? -> zstd -> Next
//
// What zstd would not make smaller goes out as it was read, in a frame of raw blocks.
//
// It promises that a first pass that ends well has read one state of the item: every file, from its first byte to its last, and the tree as a whole, as they were
// at one instant; and that what is sent again is what was signed. What changed in between, and a file that somebody has open for writing for longer than it has patience, ends a first pass with ErrChanged, and is left out of a later one. Memory is
// bounded by Buffers for all passes together, whatever is read, and by about 110 bytes and the path for each file of an item.
//
// It refuses what cannot travel: links, devices, pipes, sockets, files under several names, what cannot be read, names that SPEC.md refuses, and more than fits a bundle.
// It follows no link: every name is opened below the open directory that holds it, because the operator who dropped an item may still be inside it.
//
// It keeps SPEC.md sections 8 (C-1 to C-3), 9 and R-7, for the side that writes.
package pack
