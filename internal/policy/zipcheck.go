package policy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	zipLocal     = "PK\x03\x04"
	zipCentral   = "PK\x01\x02"
	zip64End     = "PK\x06\x06"
	zip64Locator = "PK\x06\x07"

	directoryMost  = 64 << 20 // bytes of a zip archive's directory
	descriptorMost = 24       // bytes behind an entry's content that tell its size once more
)

// errEntries says that an archive states more entries than may be looked at.
var errEntries = errors.New("policy: too many entries")

// zipSpan is where one entry stands in a zip archive.
type zipSpan struct{ from, to int64 }

// checkZip reads a zip archive's directory, and holds that there is one way to read the archive: every reader finds the same directory, its entries are what stands at their places, and
// nothing stands between them. Readers differ in whom they believe otherwise. Most bounds its entries.
func checkZip(at io.ReaderAt, size, most int64) error {
	start, length, entries, end, err := zipDirectory(at, size)
	if err != nil {
		return err
	}
	if entries > most || length > directoryMost || length < 46*entries {
		if length < 46*entries {
			return fmt.Errorf("a directory of %d bytes for %d entries", length, entries)
		}
		return errEntries
	}
	if start+length != end {
		return fmt.Errorf("its directory ends at %d, and what ends the archive stands at %d", start+length, end)
	}
	directory := make([]byte, length)
	if _, err := at.ReadAt(directory, start); err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	spans := make([]zipSpan, 0, entries)
	for n := int64(0); n < entries; n++ {
		if len(directory) < 46 || string(directory[:4]) != zipCentral {
			return fmt.Errorf("entry %d is not in the directory", n)
		}
		rest := 46 + int(le16(directory[28:])) + int(le16(directory[30:])) + int(le16(directory[32:]))
		if len(directory) < rest {
			return fmt.Errorf("entry %d is cut", n)
		}
		s, err := checkEntry(at, directory[:rest])
		if err != nil {
			return err
		}
		spans = append(spans, s)
		directory = directory[rest:]
	}
	if len(directory) > 0 {
		return errors.New("its directory holds more than its entries")
	}
	return contiguous(spans, start)
}

// zipDirectory finds the directory by the record that ends the archive, which has to be the last thing in it.
func zipDirectory(at io.ReaderAt, size int64) (start, length, entries, end int64, err error) {
	b := make([]byte, min(size, zipTail+1<<16))
	if _, err := at.ReadAt(b, size-int64(len(b))); err != nil && err != io.EOF {
		return 0, 0, 0, 0, err
	}
	i := bytes.LastIndex(b, []byte(zipEnd))
	if i < 0 || len(b)-i < zipTail || int(le16(b[i+20:])) != len(b)-i-zipTail {
		return 0, 0, 0, 0, errors.New("it does not end as a zip archive does")
	}
	r, end := b[i:], size-int64(len(b)-i)
	if le16(r[4:]) != 0 && le16(r[4:]) != 0xffff {
		return 0, 0, 0, 0, errors.New("it is one of several")
	}
	entries, length, start = int64(le16(r[10:])), int64(le32(r[12:])), int64(le32(r[16:]))
	if entries != 0xffff && length != 0xffffffff && start != 0xffffffff {
		return start, length, entries, end, nil
	}
	long := make([]byte, 56+20)
	if end < int64(len(long)) {
		return 0, 0, 0, 0, errors.New("it has no long form of its end")
	}
	if _, err := at.ReadAt(long, end-int64(len(long))); err != nil {
		return 0, 0, 0, 0, err
	}
	if string(long[:4]) != zip64End || string(long[56:60]) != zip64Locator || int64(le64(long[64:])) != end-int64(len(long)) {
		return 0, 0, 0, 0, errors.New("the long form of its end is not before its end")
	}
	return int64(le64(long[48:])), int64(le64(long[40:])), int64(le64(long[32:])), end - int64(len(long)), nil
}

// checkEntry holds what the directory says of an entry against what stands before its content.
func checkEntry(at io.ReaderAt, c []byte) (s zipSpan, err error) {
	name := c[46 : 46+le16(c[28:])]
	packed, size, offset := int64(le32(c[20:])), int64(le32(c[24:])), int64(le32(c[42:]))
	for extra := c[46+len(name) : 46+len(name)+int(le16(c[30:]))]; len(extra) >= 4; {
		field, rest := le16(extra), int(le16(extra[2:]))
		if len(extra) < 4+rest {
			break
		}
		if field == 1 { // the long forms of those that have none, in this order
			for b, p := extra[4:4+rest], []*int64{&size, &packed, &offset}; len(p) > 0; p = p[1:] {
				if *p[0] == 0xffffffff && len(b) >= 8 {
					*p[0], b = int64(le64(b)), b[8:]
				}
			}
		}
		extra = extra[4+rest:]
	}
	local := make([]byte, 30+len(name))
	if _, err := at.ReadAt(local, offset); err != nil || packed < 0 || size < 0 {
		return s, fmt.Errorf("nothing stands where %q should", name)
	}
	flags := le16(c[8:])
	described := flags&8 != 0
	switch {
	case string(local[:4]) != zipLocal, int(le16(local[26:])) != len(name), !bytes.Equal(local[30:], name), le16(local[8:]) != le16(c[10:]), le16(local[6:])&1 != flags&1,
		!described && le32(local[14:]) != le32(c[16:]), !described && le32(local[18:]) != 0xffffffff && int64(le32(local[18:])) != packed:
		return s, fmt.Errorf("%q is one thing in the directory, and another where it stands", name)
	}
	return zipSpan{offset, offset + int64(len(local)) + int64(le16(local[28:])) + packed}, nil
}

// contiguous holds that entries stand one behind another, up to the directory.
func contiguous(spans []zipSpan, directory int64) error {
	slices.SortFunc(spans, func(a, b zipSpan) int { return int(min(1, max(-1, a.from-b.from))) })
	at := int64(0)
	for _, s := range append(spans, zipSpan{directory, directory}) {
		if s.from < at || s.from > at+descriptorMost {
			return fmt.Errorf("what stands from %d to %d is in no entry, or in two", at, s.from)
		}
		at = s.to
	}
	return nil
}

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
