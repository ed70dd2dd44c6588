// Package peers is what tests of destinations share: an authority and certificates, real servers (versitygw, docker-registry), and a line to them that can be cut or that hangs. Only tests import it.
package peers
