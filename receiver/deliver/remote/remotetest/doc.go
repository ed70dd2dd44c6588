// Package remotetest is what tests of destinations share: bundles as they stand in quarantine, an authority and certificates, real servers, and a line to them that can be cut. Only tests import it.
package remotetest
