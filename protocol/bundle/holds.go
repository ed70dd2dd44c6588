//go:build !bug_skiphash

package bundle

// Holds says whether content with the SHA-256 have is what was signed under d.
func (d Digest) Holds(have Digest) bool { return d == have }
