// Package ledger is what the low side knows of its bundles: their states, their places in the chain, and the catalog that people read.
//
// On disk, under the state directory:
//
//	bundles/<id>/claim.json         written when the item is claimed, and replaced when its state changes
//	bundles/<id>/manifest.json      written once, when the bundle is signed
//	bundles/<id>/manifest.json.sig
//	chain/<tenant>.json             the last sequence given out and the digest of its manifest
//	catalog.db                      a copy of all claim.json, for lists
//
// It promises that a sequence is given to one manifest only: sequence, previous digest, manifest and signature are durable together before the first packet
// of the manifest leaves, and many bundles share one such step. A crash before it leaves a bundle unsigned, which is then signed afresh; no byte of its manifest had left.
//
// It keeps sections 10 and 11 of SPEC.md for the side that writes.
package ledger
