// Package record turns the messages of a transfer into blocks and back.
//
// It promises that what a Block was given comes out of a Reader equal and in order, from shards that lie scattered in
// memory and without copying the content of chunks; that a fault costs as little as it can (a bad body one record, a bad
// header the rest of its block, a bad sum the block); and that reading allocates nothing in the long run, whatever
// the peer sends.
//
// It refuses blocks whose sum, number, length or padding is wrong, records that do not end within their block, and bodies with
// a field missing, left over or outside its limit. It decides nothing about what the records mean together: repeats,
// conflicts between two offers, signatures and zstd frames belong to its callers.
//
// It keeps SPEC.md sections 6 (B-1 to B-3) and 7, as far as one record can break them.
package record
