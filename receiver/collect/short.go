//go:build !bug_shortblock

package collect

// shortBy is not 0 in a build that is to fail: the simulation has to find out that a block is taken for complete with shards too few.
const shortBy = 0
