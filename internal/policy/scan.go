package policy

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	window  = 64 << 10 // of a content, in memory at once
	zipEnd  = "PK\x05\x06"
	zipTail = 22 // bytes of the record that ends a zip archive, without its comment
)

// vba is how a document of the old office formats names the storage of its macros: UTF-16, in its directory.
var vba = utf16("_VBA_PROJECT")

func utf16(s string) []byte {
	b := make([]byte, 0, 2*len(s))
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return b
}

// windows reads a content to its end and shows it piece by piece; each piece begins with the last overlap bytes of the one before. at is where a piece begins.
func windows(r io.Reader, overlap int, look func(at int64, piece []byte) (more bool)) error {
	buffer := make([]byte, max(window, 2*overlap))
	kept, at := 0, int64(0)
	for {
		n, err := fill(r, buffer[kept:])
		if n > 0 && !look(at, buffer[:kept+n]) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		at += int64(kept + n - overlap)
		kept = copy(buffer, buffer[kept+n-overlap:kept+n])
	}
}

// fill reads until a buffer is full. io.ReadFull has the same word for the end of a stream and for a decoder that met the end too early.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = r.Read(b[n:])
		n += more
	}
	if n == len(b) {
		err = nil
	}
	return n, err
}

// phrases finds the first of several phrases in text; "" is none. Text in UTF-16 is read as what it says where it begins with a byte order mark.
func phrases(r io.Reader, wanted []string) (found string, err error) {
	longest := 0
	lower := make([][]byte, len(wanted))
	for i, w := range wanted {
		lower[i] = []byte(strings.ToLower(w))
		longest = max(longest, len(w), len(lower[i]))
	}
	r = transform.NewReader(r, unicode.BOMOverride(transform.Nop))
	err = windows(r, 2*longest, func(_ int64, piece []byte) bool { // twice: a capital may be longer than its small letter
		piece = bytes.ToLower(piece)
		i := slices.IndexFunc(lower, func(w []byte) bool { return bytes.Contains(piece, w) })
		if i >= 0 {
			found = wanted[i]
		}
		return i < 0
	})
	return found, err
}

// hidden is what a content turned out to hold beside what it is.
type hidden struct{ macros, zip bool }

// reveal reads a content that is no archive to its end.
func reveal(r io.Reader) (h hidden, err error) {
	const overlap = zipTail + 2
	err = windows(r, overlap, func(at int64, piece []byte) bool {
		h.macros = h.macros || bytes.Contains(piece, vba)
		for from := 0; !h.zip; {
			i := bytes.Index(piece[from:], []byte(zipEnd))
			if i < 0 || from+i+zipTail > len(piece) {
				break
			}
			h.zip = endsZip(piece[from+i:], at+int64(from+i))
			from += i + 1
		}
		return true
	})
	return h, err
}

// endsZip says whether a record at a place of a file is the end of a zip archive that lies before it: four bytes alone are found in any large file by chance.
func endsZip(record []byte, at int64) bool {
	disk, directory := binary.LittleEndian.Uint16(record[4:]), binary.LittleEndian.Uint16(record[6:])
	here, all := binary.LittleEndian.Uint16(record[8:]), binary.LittleEndian.Uint16(record[10:])
	size, offset := int64(binary.LittleEndian.Uint32(record[12:])), int64(binary.LittleEndian.Uint32(record[16:]))
	return disk == 0 && directory == 0 && here == all && all > 0 && size >= 46*int64(all) && offset+size <= at
}
