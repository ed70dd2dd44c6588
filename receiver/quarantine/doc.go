// Package quarantine is where the chamber closes: it verifies a bundle whose every chunk is here, and puts it under its final place only when everything holds.
//
//	staged files --> manifest: digest, signature, form, agreement with offer and close, names
//	             --> content: every size and SHA-256
//	             --> files/ built by renames, through os.Root --> (sync, or the ledger's) rename into quarantine/<tenant>/<id>/
//
// What stands in quarantine is {files/, manifest.json, manifest.json.sig, SHA256SUMS} and can be checked with ssh-keygen and sha256sum alone. It is readable by the
// daemon only. Check says the same of it later, before every release and delivery: nothing missing, nothing extra, nothing that is not a regular file, every byte as signed.
//
// A fault of the sender's is a refusal with its reason. Content that does not match is not: the marks say which chunks are wrong, those are missing again, and a
// later pass repairs them.
//
// It keeps sections 9 to 11 of SPEC.md.
package quarantine
