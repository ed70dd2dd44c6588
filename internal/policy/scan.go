package policy

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	window  = 64 << 10 // of a content, in memory at once
	zipEnd  = "PK\x05\x06"
	zipTail = 22 // bytes of the record that ends a zip archive, without its comment
)

// vba is how a document of the old office formats names the storage of its macros: UTF-16, in its directory, in either case.
var vba = wide("_vba_project")

// encryptedPackage is what an encrypted office document has in its place.
var encryptedPackage = wide("encryptedpackage")

func wide(s string) []byte {
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

// hidden is what a content turned out to hold beside what it is.
type hidden struct {
	macros, zip, secret bool
	tar                 int64  // where an archive begins; 0: nowhere
	phrase              string // of those that must not occur; "" is none
}

// reveal reads a content that is no archive to its end.
func (x *Examination) reveal(r io.Reader, k kind) (h hidden, err error) {
	overlap := max(2*len(vba), x.wanted.longest)
	overlap = max(overlap, zipTail+2, headerSize)
	var behind tars
	if k.holdsTars() {
		behind.most = sought
	}
	text := k.text()
	var views []*unmarked
	if text && len(x.wanted.phrases) > 0 {
		views = unmarkedAll(&x.wanted)
	}
	var last tail
	folded := make([]byte, 0, max(window, 2*overlap))
	err = windows(r, overlap, func(at int64, piece []byte) bool {
		last.add(at, piece)
		behind.add(at, piece)
		lower := folded[:0]
		if text {
			lower = lowered(lower, piece)
		} else {
			lower = fold(lower, piece)
		}
		h.secret = h.secret || bytes.Contains(lower, encryptedPackage)
		h.macros = h.macros || bytes.Contains(lower, vba)
		if h.phrase == "" {
			h.phrase = x.wanted.in(lower)
		}
		for _, v := range views {
			if h.phrase == "" {
				h.phrase = v.add(at, piece)
			}
		}
		return true
	})
	for _, v := range views {
		if h.phrase == "" {
			h.phrase = v.end()
		}
	}
	h.tar = behind.found
	h.zip = last.endsZip(k.is("application/x-ole-storage"))
	return h, err
}

// fold makes ASCII's capitals small, of whatever it is.
func fold(to, b []byte) []byte {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		to = append(to, c)
	}
	return to
}

// lowered makes the capitals of all languages small: what bytes.ToLower does, in a third of the time.
func lowered(to, b []byte) []byte {
	for len(b) > 0 {
		c, n := b[0], 1
		switch {
		case c >= utf8.RuneSelf:
			var r rune
			r, n = utf8.DecodeRune(b)
			to = utf8.AppendRune(to, unicode.ToLower(r))
		case 'A' <= c && c <= 'Z':
			to = append(to, c+'a'-'A')
		default:
			to = append(to, c)
		}
		b = b[n:]
	}
	return to
}

// wanted are the phrases that must not occur, in the forms in which a text may hold them.
type wanted struct {
	phrases []string
	forms   [][][]byte // of each: UTF-8, and UTF-16 of either order
	longest int
}

func wantedOf(phrases []string) (w wanted) {
	w.phrases = phrases
	for _, p := range phrases {
		lower := strings.ToLower(p)
		forms := [][]byte{[]byte(lower)}
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			var form []byte
			for _, unit := range utf16.Encode([]rune(lower)) {
				form = order.AppendUint16(form, unit)
			}
			forms = append(forms, form)
		}
		w.forms = append(w.forms, forms)
		for _, f := range forms {
			w.longest = max(w.longest, 2*len(f)) // a capital may be longer than its small letter
		}
	}
	return w
}

// in finds the first phrase of a text whose letters are small. In UTF-16, and in what is no text, only ASCII's are made small.
func (w *wanted) in(lower []byte) string {
	for i, forms := range w.forms {
		for _, f := range forms {
			if bytes.Contains(lower, f) {
				return w.phrases[i]
			}
		}
	}
	return ""
}

// tailMost is how far from its end a zip archive may have the record that ends it: a comment of 64 KiB, and what readers pass over behind it.
const tailMost = zipTail + 1<<16 + 4096

// tail is the end of a content.
type tail struct {
	b  []byte
	at int64 // of b
}

// tailOf reads the end of a content.
func tailOf(at io.ReaderAt, size int64) *tail {
	t := &tail{b: make([]byte, min(size, tailMost))}
	n, _ := at.ReadAt(t.b, size-int64(len(t.b))) // what cannot be read is found when it is looked into
	t.b = t.b[:n]
	return t
}

func (t *tail) add(at int64, piece []byte) {
	if seen := t.at + int64(len(t.b)); seen > at { // a piece begins with the end of the one before
		piece = piece[min(int64(len(piece)), seen-at):]
	}
	t.b = append(t.b, piece...)
	if extra := len(t.b) - tailMost; extra > 0 {
		t.b = t.b[:copy(t.b, t.b[extra:])]
		t.at += int64(extra)
	}
}

// endsZip says whether the record stands there that ends a zip archive, whatever it says of what is before it: readers look for it from the end, and believe little else. exactly: it has to be the very end, as in documents that hold others.
func (t *tail) endsZip(exactly bool) bool {
	for from := len(t.b); ; {
		i := bytes.LastIndex(t.b[:from], []byte(zipEnd))
		if i < 0 {
			return false
		}
		if rest := len(t.b) - i; rest >= zipTail {
			disk, comment := binary.LittleEndian.Uint16(t.b[i+4:]), int(binary.LittleEndian.Uint16(t.b[i+20:]))
			if (disk == 0 || disk == 0xffff) && comment <= rest-zipTail {
				return !exactly || comment == rest-zipTail
			}
		}
		from = i
	}
}
