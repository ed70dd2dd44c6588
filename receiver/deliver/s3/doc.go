// Package s3 puts approved bundles into a bucket of an object store that speaks S3.
//
//	PREFIX NAME/path ...             the files, each with the tags tenant, bundle and digest; or PREFIX and 32 characters, where the store wants short names
//	PREFIX .ecluse/BUNDLE.names      with short names: which object is which path
//	PREFIX .ecluse/BUNDLE.json.sig   the manifest's signature
//	PREFIX .ecluse/BUNDLE.json       the manifest: the last object. Where it stands all of the bundle does
//
// It promises that no object is completed with content that is not what the manifest says: each request carries the SHA-256 of its body, and the store holds it against that. An attempt that follows
// another one sends again what does not stand there with its digest, and what an attempt began in parts and did not end is taken back. Objects of the same name are replaced; where the bucket keeps versions
// or locks objects, the former ones stay.
//
// It refuses an item whose name is the one under which manifests stand, and names that no store takes (unfit); nothing is sent then. It makes no bucket.
package s3
