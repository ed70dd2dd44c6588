package assemble

import "ecluse/protocol/bundle"

// recent remembers the newest ids, up to a number. Older ones are asked for again.
type recent struct {
	ids  map[bundle.ID]struct{}
	ring []bundle.ID
	next int
}

func newRecent(n int) *recent {
	return &recent{ids: make(map[bundle.ID]struct{}), ring: make([]bundle.ID, n)}
}

func (r *recent) has(id bundle.ID) bool { _, ok := r.ids[id]; return ok }

func (r *recent) add(id bundle.ID) {
	if r.has(id) {
		return
	}
	delete(r.ids, r.ring[r.next])
	r.ring[r.next] = id
	r.ids[id] = struct{}{}
	r.next = (r.next + 1) % len(r.ring)
}
