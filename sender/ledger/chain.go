package ledger

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"ecluse/protocol/bundle"
)

// Link is the newest end of one tenant's chain: chain/<tenant>.json.
type Link struct {
	Tenant   bundle.Name   `json:"tenant"`
	Epoch    bundle.Epoch  `json:"epoch"`
	Sequence uint64        `json:"sequence"`
	Digest   bundle.Digest `json:"digest"`
}

// Head returns the end of a tenant's chain in this epoch. What it says is durable.
func (l *Ledger) Head(tenant bundle.Name) Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.chains[tenant]; c.Epoch == l.epoch {
		return c
	}
	return Link{Tenant: tenant, Epoch: l.epoch}
}

func (l *Ledger) chainPath(tenant bundle.Name) string {
	return filepath.Join(l.dir, "chain", string(tenant)+".json")
}

// entryOf is the file of a chain's new end.
func (l *Ledger) entryOf(c Link) (e entry, err error) {
	path := l.chainPath(c.Tenant)
	e = entry{path: path, fresh: path}
	e.text, err = json.Marshal(c)
	l.mu.Lock()
	old, had := l.chains[c.Tenant]
	l.mu.Unlock()
	if err == nil && had {
		e.before, err = json.Marshal(old)
	}
	if err != nil {
		return e, fmt.Errorf("write the chain of %s: %w", c.Tenant, err)
	}
	return e, nil
}

// loadChains reads the ends of all chains, and lists the tenants whose file is torn: their ends are found again from the bundles.
func (l *Ledger) loadChains() (lost []bundle.Name, err error) {
	names, err := l.disk.ReadDir(filepath.Join(l.dir, "chain"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		name, ok := strings.CutSuffix(n, ".json")
		tenant, err := bundle.ParseName(name)
		if !ok || err != nil {
			continue
		}
		text, err := l.disk.ReadFile(l.chainPath(tenant), recordLimit)
		if err != nil {
			return nil, err
		}
		if torn(text) {
			lost = append(lost, tenant)
			continue
		}
		var c Link
		err = json.Unmarshal(text, &c)
		if err == nil && c.Tenant != tenant {
			err = fmt.Errorf("it is the chain of %q", c.Tenant)
		}
		if err != nil {
			return nil, fmt.Errorf("chain/%s is damaged: a sequence could be used twice; restore it from a backup, or move it away and begin a new life (ecluse-sender renew --epoch): %w", n, err)
		}
		l.chains[tenant] = c
	}
	return lost, nil
}
