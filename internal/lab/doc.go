// Package lab tests both programs as an operator meets them: real binaries, two network namespaces with a diode between them, real loss, real disks.
//
// It has no code of its own but its tests. They need root, iproute2, nftables, ethtool and jq (make needs), and the binaries in bin/ (make). Where these are missing
// the tests say so and are skipped; under CI=true that is a failure.
//
// Every test ends by counting what came back through the diode: it must be nothing.
package lab
