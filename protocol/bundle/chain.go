package bundle

// EpochStatus says what a receiver knows of an epoch of one sender.
type EpochStatus uint8

// Unknown is what no pairing has named; it is the zero value, so that a forgotten answer holds a bundle instead of taking it.
const (
	EpochUnknown EpochStatus = iota
	EpochPaired
	EpochReplaced // paired once, and another since
)

// History is what a receiver remembers, durably, of one sender and tenant. A bundle has been held when it was ever accepted or
// held, in whatever state it ended; what was refused has not.
type History interface {
	Held(id ID) bool
	HeldDigest(manifest Digest) bool
	EpochStatus(e Epoch) EpochStatus
	// At gives the manifest held at a place of the chain, and the one that it names as the one before it.
	At(e Epoch, sequence uint64) (digest, previous Digest, ok bool)
	// Floor is the sequence at or below which everything has been forgotten on purpose; 0 where nothing was.
	Floor(e Epoch) uint64
}

// Place is where a verified manifest claims to stand.
type Place struct {
	Bundle   ID
	Epoch    Epoch
	Sequence uint64 // from 1
	Digest   Digest // of the manifest
	Previous Digest // of the one before it
}

// Judge holds a verified manifest against what is remembered, in the order. Nil is accepted, a predecessor here or not.
// sequence-replay, sequence-rollback and sequence-fork are refused; epoch-new is held.
func Judge(h History, p Place) error {
	switch {
	case h.Held(p.Bundle):
		return Reject(ReasonSequenceReplay, "Q-1", "bundle %s has been here", p.Bundle)
	case h.HeldDigest(p.Digest):
		return Reject(ReasonSequenceReplay, "Q-1", "manifest %s has been here", p.Digest)
	}
	status := h.EpochStatus(p.Epoch)
	floor := h.Floor(p.Epoch)
	switch {
	case status == EpochReplaced:
		return Reject(ReasonSequenceRollback, "Q-2", "epoch %s has been replaced", p.Epoch)
	case p.Sequence <= floor:
		return Reject(ReasonSequenceRollback, "Q-2", "sequence %d is not above %d, up to which all is forgotten", p.Sequence, floor)
	}
	if err := judgeFork(h, p); err != nil {
		return err
	}
	if status != EpochPaired {
		return Reject(ReasonEpochNew, "Q-4", "epoch %s has not been paired", p.Epoch)
	}
	return nil
}

// judgeFork looks at the place itself and at both neighbours. A digest of its own at its place was a replay.
func judgeFork(h History, p Place) error {
	if held, _, ok := h.At(p.Epoch, p.Sequence); ok {
		return Reject(ReasonSequenceFork, "Q-3", "sequence %d is held as %s, not %s", p.Sequence, held, p.Digest)
	}
	if p.Sequence > 1 {
		if held, _, ok := h.At(p.Epoch, p.Sequence-1); ok && held != p.Previous {
			return Reject(ReasonSequenceFork, "Q-3", "manifest %s follows %s, but sequence %d is held as %s", p.Digest, p.Previous, p.Sequence-1, held)
		}
	}
	if p.Sequence+1 > p.Sequence {
		if held, previous, ok := h.At(p.Epoch, p.Sequence+1); ok && previous != p.Digest {
			return Reject(ReasonSequenceFork, "Q-3", "manifest %s at sequence %d follows %s, not %s", held, p.Sequence+1, previous, p.Digest)
		}
	}
	return nil
}
