//go:build !bug_replay

package collect

// skipReplay is true in a build that is to fail: the simulation has to find out that packets are taken twice.
const skipReplay = false
