package vectors_test

import (
	"testing"

	"ecluse/protocol/bundle"
)

// place is one in the chain, held or claimed. Bytes are hexadecimal.
type place struct {
	Bundle, Epoch    string
	Sequence         uint64
	Digest, Previous string
}

func (p place) parse(t *testing.T) bundle.Place {
	return bundle.Place{Bundle: bundle.ID(unhex(t, p.Bundle)), Epoch: bundle.Epoch(unhex(t, p.Epoch)), Sequence: p.Sequence,
		Digest: bundle.Digest(unhex(t, p.Digest)), Previous: bundle.Digest(unhex(t, p.Previous))}
}

type chainInput struct {
	Paired   string
	Replaced []string
	Held     []place
	Floor    uint64
	Place    place
}

// history answers from a vector's table. Its floor is that of every epoch.
type history struct {
	held     []bundle.Place
	paired   bundle.Epoch
	replaced map[bundle.Epoch]bool
	floor    uint64
}

func (h history) Held(id bundle.ID) bool {
	for _, p := range h.held {
		if p.Bundle == id {
			return true
		}
	}
	return false
}

func (h history) HeldDigest(d bundle.Digest) bool {
	for _, p := range h.held {
		if p.Digest == d {
			return true
		}
	}
	return false
}

func (h history) EpochStatus(e bundle.Epoch) bundle.EpochStatus {
	switch {
	case e == h.paired:
		return bundle.EpochPaired
	case h.replaced[e]:
		return bundle.EpochReplaced
	}
	return bundle.EpochUnknown
}

func (h history) At(e bundle.Epoch, sequence uint64) (digest, previous bundle.Digest, ok bool) {
	for _, p := range h.held {
		if p.Epoch == e && p.Sequence == sequence {
			return p.Digest, p.Previous, true
		}
	}
	return bundle.Digest{}, bundle.Digest{}, false
}

func (h history) Floor(bundle.Epoch) uint64 { return h.floor }

func TestChainsOfSection11(t *testing.T) {
	each(t, "chain", func(t *testing.T, v vector, in chainInput) {
		h := history{paired: bundle.Epoch(unhex(t, in.Paired)), replaced: map[bundle.Epoch]bool{}, floor: in.Floor}
		for _, e := range in.Replaced {
			h.replaced[bundle.Epoch(unhex(t, e))] = true
		}
		for _, p := range in.Held {
			h.held = append(h.held, p.parse(t))
		}
		judged(t, v, bundle.Judge(h, in.Place.parse(t)))
	})
}
