//go:build bug_fsync

package deliver

// skipSync gives deliveries their names before their content is durable. The simulation has to find out.
const skipSync = true
