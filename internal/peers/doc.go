// Package peers is what tests against real programs share: an authority and certificates, real servers (versitygw, docker-registry), and a line to them that can be cut or that hangs. Only tests import it.
package peers
