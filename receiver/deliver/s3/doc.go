// Package s3 puts approved bundles into a bucket of an object store that speaks S3.
//
//	PREFIX NAME/path ...             the files, each with the tags tenant, bundle and digest; or PREFIX and 32 characters, where the store wants short names
//	PREFIX .ecluse/BUNDLE.names      with short names: which object is which path
//	PREFIX .ecluse/BUNDLE.json.sig   the manifest's signature
//	PREFIX .ecluse/BUNDLE.json       the manifest: the last object. Where it stands all of the bundle does
//
// It promises that no object is completed with content that is not what the manifest says: each request carries the SHA-256 of its body, and the store holds it against that. An attempt that follows
// another one sends again what does not stand there with its digest. Of an object in parts that was begun, and not ended for want of the store or of this process, that is those parts that the store does not
// list with the SHA-256 of what stands in quarantine; it is read whole all the same, and its last part is held back until all of it holds. What is gone on with is what the record names, noted before
// its first part, and nothing else that the store lists: an object takes over the digest and the tags with which its upload began, and nobody can read those before its end. What was begun otherwise, of the
// same object or of a bundle that is rejected, is taken back. Objects of the same name are replaced; where the bucket keeps versions or locks objects, the former ones stay.
//
// It refuses an item whose name is the one under which manifests stand, and names that no store takes (unfit); nothing is sent then. It makes no bucket.
package s3
