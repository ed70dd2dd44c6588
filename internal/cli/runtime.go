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

// AllowMemory raises that limit by a number of bytes, for what comes to stay. A limit below what has to be held is worse than none: the collector then runs all the time.
func AllowMemory(more int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(debug.SetMemoryLimit(-1) + more)
	}
}

// SpareProcessors gives the runtime so many places to run more than the machine has processors, unless GOMAXPROCS says otherwise: one for each goroutine that has to run soon after its
// moment comes. Without one it would wait, once it wakes, until another goroutine is done with a chunk of megabytes. A spare place is nobody's own, another busy goroutine may take it; but
// then it is the kernel that shares the processors out, and that favours who has slept. Not more than that: with eight places on two processors a sender was seen to take more time per byte.
func SpareProcessors(n int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
}
