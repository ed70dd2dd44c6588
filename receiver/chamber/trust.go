package chamber

import (
	"slices"
	"sync"

	"ecluse/protocol/bundle"
	"ecluse/receiver/quarantine"
)

// Trust is who may do what. It is replaced whole when a sender is paired while the daemon runs.
type Trust struct {
	mu      sync.RWMutex
	signers quarantine.Signers
	senders map[bundle.Name][]bundle.Name // tenants that a sender may use

	officers Officers // who may decide; nil: whoever may ask
}

// Set replaces everything.
func (t *Trust) Set(signers quarantine.Signers, senders map[bundle.Name][]bundle.Name) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.signers, t.senders = signers, senders
}

// Signers returns the present allowed signers.
func (t *Trust) Signers() quarantine.Signers {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.signers
}

func (t *Trust) allows(sender, tenant bundle.Name) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Contains(t.senders[sender], tenant)
}
