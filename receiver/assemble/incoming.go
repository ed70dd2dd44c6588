package assemble

import (
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// phase is where a bundle of this room stands.
type phase uint8

const (
	unknown   phase = iota // slices came before any offer: they wait a little in memory
	receiving              // admitted
	idle                   // admitted, incomplete, and nothing comes: said to be damaged
	finishing              // whole: its Owner verifies it
)

// incoming is one bundle on its way in. All of it is under the Assembler's lock, but hashes, which belongs to the hasher.
type incoming struct {
	id       bundle.ID
	phase    phase
	source   Source
	offer    *record.Offer
	close    *record.Close
	received time.Time     // when the first packet of it came
	begun    time.Duration // the same by the clock that nobody sets; of one that an earlier life left, when it was taken up
	touched  time.Duration // when the newest slice or offer came

	have    bitmap
	frames  map[uint32]*frame
	busy    map[uint32]bool // chunks on their way to the disk
	dirs    map[uint32]bool // staged directories that exist
	open    staged          // the staged file written last
	written int64           // raw bytes written
	taken   int64           // raw bytes that went to the disk or are on their way

	dirty bool // chunks were written since the last checkpoint
	noted bool // offer.json is on the disk
	ended bool // close.json is on the disk
	gone  bool // finished or dropped while jobs were under way

	hashes *hashes
}

// chunks is how many chunks make the bundle whole; ok is false while no close has come.
func (in *incoming) chunks() (n uint32, ok bool) {
	if in.offer == nil || in.close == nil {
		return 0, false
	}
	return in.offer.Chunks + in.close.ManifestChunks, true
}

func (in *incoming) whole() bool {
	n, ok := in.chunks()
	return ok && in.have.count == int(n) && len(in.busy) == 0
}

// allows refuses a chunk that the offer and the close do not leave room for.
func (in *incoming) allows(chunk uint32, runs []bundle.Run) error {
	if in.offer == nil {
		return nil
	}
	manifest := chunk >= in.offer.Chunks
	if n, ok := in.chunks(); ok && chunk >= n || !ok && chunk >= in.offer.Chunks+maxManifestChunks {
		return errLayout
	}
	for _, r := range runs {
		if (r.File == 0) != manifest || r.File > in.offer.Files || r.Offset+uint64(r.Length) > in.most(manifest) {
			return errLayout
		}
	}
	return nil
}

// most is where the last byte of any file of the bundle can stand. An offer admits so many bytes, and no chunk may stage more than that by pointing beyond them.
func (in *incoming) most(manifest bool) uint64 {
	switch {
	case !manifest:
		return in.offer.Bytes
	case in.close != nil:
		return in.close.ManifestSize
	}
	return bundle.MaxManifest
}

// enough says that a chunk of so many bytes is more than was offered, beside what went to the disk before: nobody gets more of it than quota and reserve were asked for.
// Some may be written twice, in passes that contradict each other; hence twice the offer.
func (in *incoming) enough(raw uint32) bool {
	o := in.offer
	manifest := min(bundle.MaxManifest, 1<<20+8<<10*(int64(o.Files)+int64(o.Dirs))+64*int64(o.Chunks)) // a path, a digest and a mark for each
	return in.taken+int64(raw) > 2*(int64(o.Bytes)+manifest)+int64(o.ChunkSize)
}

// maxManifestChunks is what a manifest of the largest size takes with the smallest chunks.
const maxManifestChunks = bundle.MaxManifest / bundle.ChunkSizeMin
