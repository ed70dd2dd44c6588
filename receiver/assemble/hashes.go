package assemble

import (
	"crypto/sha256"
	"hash"

	"ecluse/protocol/bundle"
)

// hashes follows each file's front with SHA-256, so that a bundle that came in order is verified the moment it is whole.
//
// A chunk holds whole files but at its ends (SPEC.md rule R-6), so most small files are hashed in one go. A file that spans chunks has a front: what came
// in order is hashed from memory, what came out of order is read back from the page cache as soon as the gap before it closes. Only a few files are
// followed at once; any other is left to be read at the end.
//
// The hasher owns it while chunks are under way; when a bundle is whole it goes to the Owner with it.
type hashes struct {
	files   int             // in the bundle, and the manifest
	tabled  int             // files that the tables are for: 0 before the first chunk, and where there was no room for tables; under the Assembler's lock
	digests []bundle.Digest // by file number
	sizes   []int64         // bytes under the digest, -1 when it is not known
	fronts  map[uint32]*front
	spoiled map[uint32]bool // bytes were written again that a digest had covered: only the file itself tells now
	read    func(file uint32, at int64, b []byte) error
	scratch []byte
}

type front struct {
	sum  hash.Hash
	at   int64
	have spans // written beyond at
}

// maxFronts bounds the files followed at once.
const maxFronts = 8

// newHashes prepares for that many files, and for the manifest. read gives back what was written.
func newHashes(files uint32, read func(file uint32, at int64, b []byte) error) *hashes {
	return &hashes{files: int(files) + 1, fronts: make(map[uint32]*front), spoiled: make(map[uint32]bool), read: read}
}

// tablesMost bounds the files that are followed at once, of all bundles: 40 bytes each. An offer costs a sender nothing, and says a million files; so the tables of a bundle are made
// when its first chunk is here, and what there is no room for is read at the end.
const tablesMost = 1_500_000

// prepare makes the tables of a bundle.
func (a *Assembler) prepare(in *incoming) {
	h := in.hashes
	if h == nil || h.sizes != nil {
		return
	}
	a.mu.Lock()
	ok := !in.gone && a.tables+h.files <= tablesMost
	if ok {
		a.tables += h.files
		h.tabled = h.files
	}
	a.mu.Unlock()
	if !ok {
		h.sizes = []int64{} // none: this bundle has a chunk that nobody followed, so nobody follows the rest
		return
	}
	h.makeTables()
}

func (h *hashes) makeTables() {
	h.digests, h.sizes = make([]bundle.Digest, h.files), make([]int64, h.files)
	for i := range h.sizes {
		h.sizes[i] = -1
	}
}

// add takes the content of one run that has been written. last says that the file may go on in another chunk.
//
// Nothing holds runs against the layout before the manifest is here, so a sender may write bytes twice. A digest stands for what is on the disk only as long as
// nothing below it was written again: such a file is read at the end.
func (h *hashes) add(r bundle.Run, content []byte, last bool) {
	if int(r.File) >= len(h.sizes) || h.spoiled[r.File] {
		return
	}
	if f := h.fronts[r.File]; f == nil && h.sizes[r.File] >= 0 || f != nil && int64(r.Offset) < f.at {
		h.forget(r.File)
		h.spoiled[r.File] = true
		return
	}
	if r.Offset == 0 && !last {
		h.digests[r.File], h.sizes[r.File] = sha256.Sum256(content), int64(len(content))
		return
	}
	f := h.fronts[r.File]
	if f == nil {
		if len(h.fronts) == maxFronts {
			h.dropOldest()
		}
		f = &front{sum: sha256.New()}
		h.fronts[r.File] = f
	}
	from, to := int64(r.Offset), int64(r.Offset)+int64(r.Length)
	if from != f.at {
		f.have.add(int(from), int(to))
		return
	}
	f.sum.Write(content)
	f.at = to
	h.catchUp(r.File, f)
	f.sum.Sum(h.digests[r.File][:0])
	h.sizes[r.File] = f.at
}

// catchUp reads back what was written beyond the front before the gap closed.
func (h *hashes) catchUp(file uint32, f *front) {
	for len(f.have) > 0 && int64(f.have[0].from) <= f.at {
		end := int64(f.have[0].to)
		for f.at < end {
			if h.scratch == nil {
				h.scratch = make([]byte, 1<<20)
			}
			b := h.scratch[:min(end-f.at, int64(len(h.scratch)))]
			if h.read(file, f.at, b) != nil {
				h.forget(file) // it will be read at the end, where the error is seen
				return
			}
			f.sum.Write(b)
			f.at += int64(len(b))
		}
		f.have = f.have[1:]
	}
}

// dropOldest stops following the file with the lowest number. If it is complete its digest stands.
func (h *hashes) dropOldest() {
	lowest := ^uint32(0)
	for file := range h.fronts {
		lowest = min(lowest, file)
	}
	delete(h.fronts, lowest)
}

// forget drops what is known of a file: part of it is wrong and will be written again.
func (h *hashes) forget(file uint32) {
	if int(file) < len(h.sizes) {
		h.sizes[file] = -1
	}
	delete(h.fronts, file)
}
