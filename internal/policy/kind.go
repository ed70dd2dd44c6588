package policy

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// sniffed is how many bytes tell what a file is.
const sniffed = 3072

// kind is what a content is: its media type, and those that it is made of, the nearest first. Parameters such as a character set are left out.
type kind struct {
	names []string
	known *mimetype.MIME // nil for one of ours
}

// kindOf looks at the first bytes of a content.
func kindOf(head []byte) kind {
	for _, x := range ours {
		if bytes.HasPrefix(head, []byte(x.magic)) {
			return kind{names: []string{x.name, "application/octet-stream"}}
		}
	}
	k := kind{known: mimetype.Detect(head)}
	for m := k.known; m != nil; m = m.Parent() {
		name, _, _ := strings.Cut(m.String(), ";")
		k.names = append(k.names, name)
	}
	return k
}

// ours are what mimetype does not know.
var ours = []struct{ magic, name string }{
	{"age-encryption.org/v1\n", "application/age"},
	{"-----BEGIN AGE ENCRYPTED FILE-----", "application/age"},
	{"-----BEGIN PGP MESSAGE-----", "application/pgp-encrypted"},
	{"\x5d\x00\x00", "application/x-lzma"},
	{"\x1f\x9d", "application/x-compress"},
	{"\x04\x22\x4d\x18", "application/x-lz4"},
	{"070701", "application/x-cpio"},
	{"070702", "application/x-cpio"},
	{"070707", "application/x-cpio"},
	{"hsqs", "application/x-squashfs"},
}

// secrets are kinds that are encrypted.
var secrets = []string{"application/age", "application/pgp-encrypted"}

// closed are archives that nobody here opens.
var closed = []string{
	"application/x-lzma", "application/x-compress", "application/x-lz4", "application/x-cpio", "application/x-squashfs", "application/x-rar-compressed", "application/vnd.ms-cab-compressed",
	"application/x-archive", "application/x-unix-archive", "application/x-rpm", "application/vnd.debian.binary-package", "application/lzip", "application/x-lzip", "application/x-xar", "application/x-iso9660-image",
	"application/x-ms-wim", "application/x-installshield", "application/vnd.ms-htmlhelp",
}

// tarKind is what is a tar archive by the sum of its first header, whatever else it looks like: readers go by that.
var tarKind = kind{names: []string{"application/x-tar", "application/octet-stream"}}

// headerSize is the size of a tar archive's header, and of its blocks.
const headerSize = 512

// isTar says whether a header's sum holds, over unsigned or signed bytes.
func isTar(head []byte) bool {
	if len(head) < headerSize {
		return false
	}
	said, ok := number(head[148:156])
	if !ok || said > headerSize*255 {
		return false
	}
	unsigned, signed := int64(8*' '), int64(8*' ') // that stand in the sum's own place
	for i, c := range head[:headerSize] {
		if i < 148 || i >= 156 {
			unsigned, signed = unsigned+int64(c), signed+int64(int8(c))
		}
	}
	return said == unsigned || said == signed
}

// number is one of a header, octal, in base 256, or in base 64 as old programs wrote it; false where it is none.
func number(field []byte) (n int64, ok bool) {
	if field[0]&0x80 != 0 {
		for _, c := range field[1:] {
			n = min(n, 1<<48)<<8 | int64(c)
		}
		return n, true
	}
	field = bytes.Trim(field, " \x00")
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	digits, bits := "01234567", 3
	if bytes.HasPrefix(field, []byte("+")) {
		digits, bits, field = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 6, field[1:]
	}
	for _, c := range field {
		digit := strings.IndexByte(digits, c)
		if digit < 0 {
			return 0, false
		}
		n = min(n, 1<<48)<<bits | int64(digit)
	}
	return n, len(field) > 0
}

// wholeHeader says whether all numbers of a header are some, or blank.
func wholeHeader(head []byte) bool {
	for _, at := range [][2]int{{100, 108}, {108, 116}, {116, 124}, {124, 136}, {136, 148}} {
		field := head[at[0]:at[1]]
		if _, ok := number(field); !ok && len(bytes.Trim(field, " \x00")) > 0 {
			return false
		}
	}
	return true
}

// sought is how far into a content the header of a tar archive is looked for whatever the content is: tar passes over blocks that are none of its own, and unpacks what follows.
const sought = 16 << 10

// tars looks for a tar archive behind blocks of something else. Further in than sought its header has to be whole: among millions of blocks of numbers in columns one has the right sum by chance.
type tars struct {
	most  int64 // how far in one is looked for; 0: to the end
	next  int64 // the block that is looked at next
	found int64 // where one begins; 0: nowhere
}

// add takes a piece of a content that begins at a place; it begins with the last bytes of the one before, a block of them at least.
func (t *tars) add(at int64, piece []byte) {
	t.next = max(t.next, headerSize)
	end := at + int64(len(piece))
	if t.most > 0 {
		end = min(end, t.most)
	}
	for ; t.found == 0 && t.next+headerSize <= end; t.next += headerSize {
		if block := piece[t.next-at:]; isTar(block) && (t.next < sought || wholeHeader(block)) {
			t.found = t.next
		}
	}
}

// holdsTars says whether a kind is known to hold tar archives as they are, at places like theirs: images of disks, and old documents. What is no known kind may be one of these.
func (k kind) holdsTars() bool {
	return k.String() == "application/octet-stream" || k.is("application/x-ole-storage") || slices.ContainsFunc(closed, k.is)
}

func (k kind) String() string { return k.names[0] }

// is says whether a rule's type is for a kind: the type itself, another name of it, one that it is made of, or a family of one of these.
func (k kind) is(rule string) bool {
	family, whole := strings.CutSuffix(rule, "/*")
	if whole {
		return slices.ContainsFunc(k.names, func(name string) bool { return strings.HasPrefix(name, family+"/") })
	}
	if slices.Contains(k.names, rule) {
		return true
	}
	for m := k.known; m != nil; m = m.Parent() {
		if m.Is(rule) {
			return true
		}
	}
	return false
}

// document says whether it is an office document: made like an archive, of parts that have names and types of their own.
func (k kind) document() bool {
	return strings.Contains(k.String(), "openxmlformats-officedocument") || strings.Contains(k.String(), "oasis.opendocument") || strings.Contains(k.String(), "ms-word.document.macro") ||
		strings.Contains(k.String(), "macroenabled")
}

// text says whether people could read it.
func (k kind) text() bool { return k.is("text/plain") || k.is("text/*") }

// kind holds a kind against the lists of types.
func (l Lists) kind(k kind) (rule string, ok bool) {
	for _, r := range l.Deny {
		if k.is(r) {
			return r, false
		}
	}
	return "", len(l.Allow) == 0 || slices.ContainsFunc(l.Allow, k.is)
}

// honest says whether a name's extension is one that its content may have. An extension that nobody knows says nothing, and text has as many as there are programs.
func honest(name string, k kind) bool {
	extension := strings.ToLower(path.Ext(name))
	said := claims[extension]
	if said == nil {
		return true
	}
	return slices.ContainsFunc(said, k.is)
}

// claims are the types of which an extension speaks.
var claims = map[string][]string{
	".pdf": {"application/pdf"}, ".png": {"image/png"}, ".jpg": {"image/jpeg"}, ".jpeg": {"image/jpeg"}, ".gif": {"image/gif"}, ".tif": {"image/tiff"}, ".tiff": {"image/tiff"},
	".webp": {"image/webp"}, ".bmp": {"image/bmp"}, ".svg": {"image/svg+xml", "text/plain"}, ".mp3": {"audio/mpeg"}, ".mp4": {"video/mp4"},
	".zip": {"application/zip"}, ".jar": {"application/zip"}, ".gz": {"application/gzip"}, ".tgz": {"application/gzip"}, ".bz2": {"application/x-bzip2"}, ".xz": {"application/x-xz"},
	".zst": {"application/zstd"}, ".7z": {"application/x-7z-compressed"}, ".tar": {"application/x-tar"}, ".rar": {"application/x-rar-compressed"},
	".docx": {"application/zip"}, ".xlsx": {"application/zip"}, ".pptx": {"application/zip"}, ".odt": {"application/zip"}, ".ods": {"application/zip"}, ".odp": {"application/zip"},
	".doc": {"application/x-ole-storage", "text/rtf"}, ".xls": {"application/x-ole-storage"}, ".ppt": {"application/x-ole-storage"},
	".txt": {"text/plain"}, ".csv": {"text/plain"}, ".tsv": {"text/plain"}, ".json": {"text/plain"}, ".xml": {"text/plain"}, ".yaml": {"text/plain"}, ".yml": {"text/plain"},
	".md": {"text/plain"}, ".html": {"text/plain"}, ".sql": {"text/plain"}, ".log": {"text/plain"},
}
