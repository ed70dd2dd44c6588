// Package remote is what destinations have in common that are no directory of this machine: a store, a registry, a program (receiver/deliver/s3, oci, command).
//
//	quarantine/<tenant>/<id>/ --> Job --> Content, each file held against the signed manifest as it is read --> the destination
//
// It promises that no byte of a file leaves as a whole file that is not what was signed: what stands in quarantine is not trusted between its verification and its sending. A reader gives the last
// bytes of a file only when the digest of all of it holds, so a request that sends it is never completed with other content.
//
// An attempt is simply made again, after any failure and any crash, and comes to the same result: what is sent has names and content that follow from the bundle alone. A Failure says which reason of
// section 12 of SPEC.md it has, whether the destination as a whole is away, so that whatever comes behind would fail as well, and whether it may have been completed all the same.
//
// A request on which nothing moves is given up after a while, whatever its size. Secrets stand in files that others cannot read, and are read again after each failure.
package remote
