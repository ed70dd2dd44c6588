// Package assemble makes staged files of records: slices become chunks, chunks are decompressed where they are compressed, and written in place, and what is there is known by one
// bitmap a bundle.
//
//	records --> slices --> frame (a chunk, in memory) --> zstd, or as it is --> staged files, written in place
//	                                                                       \--> SHA-256, following each file's front
//
// It promises that memory is bounded whatever comes, that chunks may come in any order, twice, over any link and in any pass, that a chunk which was said to be
// kept is on the disk (a checkpoint first syncs, then notes), and that nothing here trusts a name: staged files are named by number.
//
// It refuses slices that contradict each other, frames that are not what they say, and offers that its Owner does not admit; all that is counted, and
// nothing of it ends the process. It decides nothing about signatures: a bundle that is whole goes to its Owner to be verified.
//
// On disk, under the state directory:
//
//	receiving/<id>/offer.json      what the sender says is coming, and who says it
//	receiving/<id>/close.json      how it ends: size, digest and signature of the manifest
//	receiving/<id>/<n>             staged files by number; 0 is the manifest
//	receiving/<id>/<g>k/<n>        those from 1,000 on, a thousand to a directory
//	receiving/<id>/progress        which chunks are durable
//
// It keeps sections 7 and 8 of SPEC.md for the side that reads.
package assemble
