package assemble

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"
)

// bitmap says which chunks are there. It grows as needed, and its owner bounds the numbers.
type bitmap struct {
	words []uint64
	count int
}

func (b *bitmap) has(i uint32) bool {
	w := int(i / 64)
	return w < len(b.words) && b.words[w]&(1<<(i%64)) != 0
}

func (b *bitmap) set(i uint32) {
	w := int(i / 64)
	for len(b.words) <= w {
		b.words = append(b.words, 0)
	}
	if b.words[w]&(1<<(i%64)) == 0 {
		b.words[w] |= 1 << (i % 64)
		b.count++
	}
}

func (b *bitmap) clear(i uint32) {
	if b.has(i) {
		b.words[i/64] &^= 1 << (i % 64)
		b.count--
	}
}

// below counts the numbers below n that are there: 64 at a time, since a bundle may have 2^24 chunks, and who asks holds the lock.
func (b *bitmap) below(n uint32) (count int) {
	for i, w := range b.words {
		if from := uint32(i) * 64; from+64 > n {
			if from < n {
				count += bits.OnesCount64(w & (1<<(n-from) - 1))
			}
			break
		}
		count += bits.OnesCount64(w)
	}
	return count
}

// missing calls f for each run of absent numbers below n, in order, until f returns false.
func (b *bitmap) missing(n uint32, f func(from, to uint32) bool) {
	for i := uint32(0); i < n; {
		if b.has(i) {
			i++
			continue
		}
		from := i
		for i < n && !b.has(i) {
			i++
		}
		if !f(from, i) {
			return
		}
	}
}

// The progress file: "ECPR", version 1, three zero bytes, the words as u64, CRC-32C of all before it.
const progressHead = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errProgress = errors.New("progress file is damaged")

func (b *bitmap) append(to []byte) []byte {
	at := len(to)
	to = append(to, 'E', 'C', 'P', 'R', 1, 0, 0, 0)
	for _, w := range b.words {
		to = binary.BigEndian.AppendUint64(to, w)
	}
	return binary.BigEndian.AppendUint32(to, crc32.Checksum(to[at:], castagnoli))
}

// parseBitmap reads a progress file.
func parseBitmap(text []byte) (bitmap, error) {
	body := len(text) - 4
	if body < progressHead || (body-progressHead)%8 != 0 || string(text[:progressHead]) != "ECPR\x01\x00\x00\x00" {
		return bitmap{}, errProgress
	}
	if binary.BigEndian.Uint32(text[body:]) != crc32.Checksum(text[:body], castagnoli) {
		return bitmap{}, errProgress
	}
	var b bitmap
	for at := progressHead; at < body; at += 8 {
		w := binary.BigEndian.Uint64(text[at:])
		b.words = append(b.words, w)
		b.count += bits.OnesCount64(w)
	}
	return b, nil
}
