package audit

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of a Merkle tree: of each complete subtree on it the hash, by level. It has no disk.
type tree struct {
	size  uint64
	level [64]tlog.Hash // in use where size has the bit
}

// add takes one leaf, and gives the hashes that are stored with it: its own, and those of the subtrees that it completes.
func (t *tree) add(leaf tlog.Hash, stored []tlog.Hash) []tlog.Hash {
	stored = append(stored, leaf)
	h, i := leaf, 0
	for ; t.size>>i&1 == 1; i++ {
		h = tlog.NodeHash(t.level[i], h)
		stored = append(stored, h)
	}
	t.level[i] = h
	t.size++
	return stored
}

// root is the hash of all of it.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	i := bits.TrailingZeros64(t.size)
	h := t.level[i]
	for i++; t.size>>i > 0; i++ {
		if t.size>>i&1 == 1 {
			h = tlog.NodeHash(t.level[i], h)
		}
	}
	return h
}

// grow makes the tree of so many leaves out of stored hashes.
func grow(size uint64, stored tlog.HashReader) (*tree, error) {
	t := &tree{size: size}
	var at []int64
	for i := 0; size>>i > 0; i++ {
		if size>>i&1 == 1 {
			at = append(at, tlog.StoredHashIndex(i, int64(size>>i)-1))
		}
	}
	hashes, err := stored.ReadHashes(at)
	if err != nil {
		return nil, err
	}
	for i := 0; size>>i > 0; i++ {
		if size>>i&1 == 1 {
			t.level[i], hashes = hashes[0], hashes[1:]
		}
	}
	return t, nil
}

// hashesOf reads stored hashes out of something that has them one behind the other.
func hashesOf(readAt func(b []byte, at int64) (int, error)) tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		all := make([]tlog.Hash, len(at))
		for i, n := range at {
			if got, err := readAt(all[i][:], n*tlog.HashSize); got < tlog.HashSize {
				return nil, fmt.Errorf("hash %d of the tree: %w", n, err)
			}
		}
		return all, nil
	})
}
