// Package oci pushes the container images that an approved bundle holds to a registry.
//
//	OCI layout, a directory or a tar       --> its index: each image by its digest, then the tags that the index names
//	what docker save or podman save wrote  --> each image as an OCI image of the same config and layers, then its tags
//	a directory of several of those        --> all of them
//
// A name that an image brings with it stands below REPOSITORY, without the registry that it came from: docker.io/library/nginx:1.25 is REGISTRY/REPOSITORY/library/nginx:1.25. A tag alone is one of
// REPOSITORY itself. Signatures go with what they sign: what cosign saved beside an image, tags of the form sha256-DIGEST.sig, and whatever names an image as its subject.
//
// It promises that every byte that is pushed is one of the signed manifest's: index and manifests are read and held against it before they are believed, layers as they are sent. Blobs come before
// manifests, children before indexes, and tags last, so that a tag never leads to an image that is not whole. The same bundle gives the same digests, whatever was pushed before.
//
// It refuses what is none of these, an image whose parts are not all there, and one tag for two images (unfit); nothing is pushed then. Only SHA-256 digests are known. Nothing is compressed or unpacked.
package oci
