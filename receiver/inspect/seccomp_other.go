//go:build !amd64

package inspect

var alsoDenied []uint32
