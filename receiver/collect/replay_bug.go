//go:build bug_replay

package collect

// skipReplay leaves the replay window out. The simulation has to find out that packets are taken twice.
const skipReplay = true
