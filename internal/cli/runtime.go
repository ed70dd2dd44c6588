package cli

import (
	"os"
	"runtime"
	"runtime/debug"
)

// LimitMemory makes the collector of garbage work harder near a number of bytes, unless GOMEMLIMIT says otherwise.
func LimitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// SpareProcessors gives the runtime so many places to run more than the machine has processors, unless GOMAXPROCS says otherwise: one for each goroutine that has to run at once when its
// moment comes. Without one it would wait, once it wakes, until another goroutine is done with a chunk of megabytes; with one it is the kernel that shares the processors out, and that
// favours who has slept.
func SpareProcessors(n int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
}
