package main

import (
	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect/signatures"
)

// unreadable are the rules of an inspector that does not know who may sign: no word was ever said by them.
const unreadable = "unreadable"

// readSigners takes up who may sign content of each tenant that asks for it. Where that cannot be read nobody may be taken for one: what comes, and what waits for a release, is held. It says whether
// anything is otherwise than it was.
func (d *daemon) readSigners() (changed bool) {
	d.mu.Lock()
	allowed := d.c.AllowedSigners
	d.mu.Unlock()
	faults := make(map[bundle.Name]string)
	for i := range d.c.Tenants {
		t := &d.c.Tenants[i]
		name := bundle.Name(t.Name)
		asked, err := t.Policy.Signatures.asked(t.Name, allowed)
		if err != nil {
			asked, faults[name] = askSignatures(&signatures.Inspector{Version: unreadable, Fault: err}), err.Error()
		}
		if asked != nil && d.Chamber.Replace(name, asked) {
			changed = true
			if err != nil {
				d.log.Error("who may sign content cannot be read: what asks for signatures is held", zap.String("tenant", t.Name), zap.Error(err))
			} else {
				d.log.Info("who may sign content was read again", zap.String("tenant", t.Name))
			}
		}
	}
	d.mu.Lock()
	d.unsigned = faults
	d.mu.Unlock()
	return changed
}

// signersFiles are those in which people who sign content stand, of the tenants that have one for themselves.
func (c *Config) signersFiles() (files []string) {
	for _, t := range c.Tenants {
		if s := &t.Policy.Signatures; s.Need > 0 && s.Signers != "" {
			files = append(files, s.Signers)
		}
	}
	return files
}
