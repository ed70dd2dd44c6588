//go:build !bug_fsync

package deliver

// skipSync is true in a build that is to fail: the simulation has to find out that a delivery gets its name before its content is durable.
const skipSync = false
