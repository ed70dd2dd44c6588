// Package bundle holds the words of a bundle and what a third party can check of it: ids, names, digests, paths, reasons, limits, the
// layout of chunks, the manifest and its signature, the text of a decision, and the judgement of the chain.
//
// It promises that a value that exists is a value that is allowed (Path, ID, Name, Manifest ...), that a manifest has exactly one form
// in bytes, that reading a hostile one costs no more memory than its honest entries and 64 KiB, and that every refusal carries a
// reason and a rule of SPEC.md.
//
// It refuses every other spelling of a value, every byte that departs from the manifest's form, paths that climb, hide or collide,
// trees with holes, signatures of another kind, and manifests that contradict the chain. It knows nothing of keys that are trusted, of
// clocks, disks or sockets.
//
// It keeps SPEC.md sections 1 (limits), 2 (I-1 to I-4), 8 (C-1, C-2), 9 (N-1 to N-5), 10 (M-1 to M-7), 11 (G-1, G-3, Q-1 to Q-5), 12 (reasons)
// and 14 (D-1, D-2), and gives the bytes that R-9 has signed.
package bundle
