package cli

import (
	"os"
	"runtime/debug"
)

// LimitMemory makes the collector of garbage work harder near a number of bytes, unless GOMEMLIMIT says otherwise.
func LimitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}
