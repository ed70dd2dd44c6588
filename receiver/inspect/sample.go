package inspect

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"
)

// testVirus is what every scanner knows as one, and harms nobody. It is put together when the program runs, so that no scanner takes the program for it.
func testVirus() []byte {
	halves := []string{`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STAND`, `ARD-ANTIVIRUS-TEST-FILE!$H+H*`}
	return []byte(strings.Join(halves, ""))
}

// nestedDepth is how many archives within one another no scanner follows by default: ClamAV goes 17 deep.
const nestedDepth = 120

// nested is the test virus within so many zip archives.
func nested(depth int) []byte {
	content := packed("eicar.com", testVirus())
	for range depth - 1 {
		content = stored("a.zip", content)
	}
	return content
}

// Sizes of padded archives.
const (
	paddedLeast = 1 << 10 // above what there is without zeros
	paddedMost  = 1<<32 - 1
)

// padded is a zip archive of a size, which holds the test virus and then zeros: who reads it to its end finds the virus, and who passes over what is so large does not.
func padded(size int64) io.Reader {
	build := func(zeros int64) *zipped {
		z := new(zipped)
		z.add("eicar.com", testVirus(), true)
		z.entry("zeros", 0, sumOfZeros(zeros), uint32(zeros), uint32(zeros))
		return z
	}
	empty := build(0)
	zeros := size - int64(len(empty.body)+len(empty.tail(0)))
	if zeros < 0 || size > paddedMost {
		panic("inspect: internal error: no archive has this size")
	}
	z := build(zeros)
	return io.MultiReader(bytes.NewReader(z.body), io.LimitReader(nothing{}, zeros), bytes.NewReader(z.tail(zeros)))
}

// packed is a zip archive of one entry that is compressed, so that its bytes do not show.
func packed(name string, content []byte) []byte { return archive(name, content, true) }

func stored(name string, content []byte) []byte { return archive(name, content, false) }

func archive(name string, content []byte, compress bool) []byte {
	var z zipped
	z.add(name, content, compress)
	return append(z.body, z.tail(0)...)
}

// zipped is a zip archive that is being made: archive/zip writes the sizes of an entry behind it, which scanners do not all read.
type zipped struct {
	body, directory []byte
	entries         uint16
}

func (z *zipped) add(name string, content []byte, compress bool) {
	sum, size, method := crc32.ChecksumIEEE(content), uint32(len(content)), uint16(0)
	if compress {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is one
		_, _ = w.Write(content)                            // to memory
		_ = w.Close()
		content, method = b.Bytes(), 8
	}
	z.entry(name, method, sum, uint32(len(content)), size)
	z.body = append(z.body, content...)
}

// entry adds what stands before an entry's content, and what the directory says of it.
func (z *zipped) entry(name string, method uint16, sum, packed, size uint32) {
	at, order := uint32(len(z.body)), binary.LittleEndian
	const version, date = 20, 1<<5 | 1 // of 1980
	common := func(b []byte) []byte {
		b = order.AppendUint16(b, version)
		b = order.AppendUint16(b, 0) // flags
		b = order.AppendUint16(b, method)
		b = order.AppendUint16(b, 0) // midnight
		b = order.AppendUint16(b, date)
		b = order.AppendUint32(b, sum)
		b = order.AppendUint32(b, packed)
		b = order.AppendUint32(b, size)
		b = order.AppendUint16(b, uint16(len(name)))
		return order.AppendUint16(b, 0) // extra
	}
	z.body = append(common(append(z.body, "PK\x03\x04"...)), name...)
	z.directory = common(order.AppendUint16(append(z.directory, "PK\x01\x02"...), version))
	z.directory = append(z.directory, make([]byte, 10)...) // comment, disk, attributes
	z.directory = append(order.AppendUint32(z.directory, at), name...)
	z.entries++
}

// tail is the directory and the end of an archive whose body is followed by so many zeros.
func (z *zipped) tail(zeros int64) []byte {
	order := binary.LittleEndian
	b := append(bytes.Clone(z.directory), "PK\x05\x06\x00\x00\x00\x00"...)
	b = order.AppendUint16(order.AppendUint16(b, z.entries), z.entries)
	b = order.AppendUint32(b, uint32(len(z.directory)))
	b = order.AppendUint32(b, uint32(int64(len(z.body))+zeros))
	return order.AppendUint16(b, 0)
}

// nothing is zeros without end.
type nothing struct{}

func (nothing) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func sumOfZeros(n int64) (sum uint32) {
	block := make([]byte, 1<<16)
	for ; n > 0; n -= int64(len(block)) {
		sum = crc32.Update(sum, crc32.IEEETable, block[:min(n, int64(len(block)))])
	}
	return sum
}
