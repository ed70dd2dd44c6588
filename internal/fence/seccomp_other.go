//go:build !amd64

package fence

var alsoDenied, alsoChanges []uint32
