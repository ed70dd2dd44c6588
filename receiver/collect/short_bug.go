//go:build bug_shortblock

package collect

// shortBy has a block taken for complete with a shard too few. The simulation has to find out.
const shortBy = 1
