//go:build !amd64

package examine

var alsoDenied []uint32
