package policy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ecluse/protocol/bundle"
)

// findingsMost is how many findings of an item are told; the others are counted.
const findingsMost = 100

// Examination is one item being held against rules. One goroutine uses it.
type Examination struct {
	rules    *Rules
	wanted   wanted
	scratch  string
	room     int64 // that is left in scratch
	findings []Finding
	more     int

	entries, expanded int64 // of all archives

	// Of the file that is being looked into:
	outer  int64 // its bytes
	inner  int64 // that came out of it
	enough bool  // a bound was met
}

// Begin begins an examination. scratch is a directory for what is too large for memory, up to room bytes at once; it leaves nothing there.
func (r *Rules) Begin(scratch string, room int64) *Examination {
	return &Examination{rules: r, scratch: scratch, room: room, wanted: wantedOf(r.Text)}
}

// Findings are what was found, in the order of the files, and how many more there were.
func (x *Examination) Findings() (list []Finding, more int) { return x.findings, x.more }

func (x *Examination) find(reason bundle.Reason, path, format string, args ...any) {
	if len(x.findings) >= findingsMost {
		x.more++
		return
	}
	x.findings = append(x.findings, Finding{reason, Cut(path, textMost), Cut(fmt.Sprintf(format, args...), textMost)})
}

// textMost bounds what is told of a finding, in bytes: names in archives have no other bound.
const textMost = 1000

// Cut keeps the beginning and the end of a text that is longer than most bytes.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most/2]+" ... "+s[len(s)-most/2:], "")
}

// Item holds the number and the size of an item's files against the rules.
func (x *Examination) Item(name string, files, size int64) {
	if x.rules.Files > 0 && files > x.rules.Files {
		x.find(bundle.ReasonPolicyCount, name, "it has %d files, and %d are allowed", files, x.rules.Files)
	}
	if x.rules.Size > 0 && size > x.rules.Size {
		x.find(bundle.ReasonPolicySize, name, "it has %d bytes, and %d are allowed", size, x.rules.Size)
	}
}

// Name holds a file's path and size against the rules.
func (x *Examination) Name(path string, size int64) {
	if x.rules.FileSize > 0 && size > x.rules.FileSize {
		x.find(bundle.ReasonPolicySize, path, "it has %d bytes, and %d are allowed", size, x.rules.FileSize)
	}
	x.name(path, path, false)
}

// Dir holds a directory's path against what is denied.
func (x *Examination) Dir(path string) { x.name(path, path, true) }

// name holds a name against the lists; at is where it stands.
func (x *Examination) name(at, name string, dir bool) {
	pattern, ok := x.rules.Names.name(name, dir)
	switch {
	case ok:
	case pattern != "":
		x.find(bundle.ReasonPolicyName, at, "its name is like %q, which is denied", pattern)
	default:
		x.find(bundle.ReasonPolicyName, at, "its name is like none that is allowed")
	}
}

// stop ends the look into a file, whose archives meet a bound. Once is enough: a decoder that is told so may ask again.
func (x *Examination) stop(path, format string, args ...any) error {
	if !x.enough {
		x.find(bundle.ReasonPolicyArchive, path, format, args...)
	}
	x.enough = true
	return errEnough
}

// errEnough ends the look into a file: a bound was met, and a finding says which.
var errEnough = errors.New("policy: a bound was met")

// File holds a file's content against the rules. An error says that the content could not be read, or that there was no room to work; then nothing is known of it.
func (x *Examination) File(path string, content io.ReaderAt, size int64) error {
	x.outer, x.inner, x.enough = size, 0, false
	fail := &failing{at: content, size: size}
	err := x.content(item{path: path, name: path, at: fail, size: size}, io.NewSectionReader(fail, 0, size))
	switch {
	case fail.err != nil:
		return fail.err // whatever a decoder made of it
	case x.enough:
		return nil
	}
	return err
}

// failing remembers that what it reads from failed: a decoder tells it as a fault of the archive.
type failing struct {
	at   io.ReaderAt
	size int64
	err  error
}

func (f *failing) ReadAt(b []byte, at int64) (int, error) {
	if at >= f.size { // a decoder does as an archive says
		return 0, io.EOF
	}
	if at < 0 {
		return 0, errors.New("it names a place before its beginning")
	}
	n, err := f.at.ReadAt(b, at)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// item is one content: a file, or what stands in an archive.
type item struct {
	path  string      // in full, for findings
	name  string      // of itself
	at    io.ReaderAt // its bytes in any order; nil: they come as a stream
	size  int64       // where at is not nil
	depth int         // how many archives are around it
	part  bool        // of a document: what the types and names of archives' entries may be is not said of it
}

// content looks at one content. What it is decides where it goes; each is read once.
func (x *Examination) content(i item, r io.Reader) error {
	b := bufio.NewReaderSize(r, sought)
	head, err := b.Peek(sought)
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return x.broken(i, err)
	}
	if len(head) == 0 {
		return nil // nothing has no type
	}
	k := kindOf(head[:min(len(head), sniffed)])
	if isTar(head) && !k.is("application/x-tar") {
		if k.String() != "application/octet-stream" && !k.text() {
			x.find(bundle.ReasonPolicyType, i.path, "it is %s, and a tar archive as well: who opens it decides what it is", k)
		}
		k = tarKind
	}
	x.types(i, k)
	x.opaque(i, k)
	if open := opener(k); open != nil {
		return x.archive(i, k, open, b)
	}
	h, err := x.reveal(b, k)
	if h.tar > 0 {
		x.tarBehind(i, k, h.tar)
	}
	if h.phrase != "" {
		x.find(bundle.ReasonPolicyText, i.path, "it holds the phrase %q", h.phrase)
	}
	if h.macros && k.is("application/x-ole-storage") && !x.rules.Macros {
		x.find(bundle.ReasonPolicyMacro, i.path, "it is a document with macros")
	}
	if h.secret && k.is("application/x-ole-storage") {
		x.encrypted(i)
	}
	if h.zip {
		x.find(bundle.ReasonPolicyType, i.path, "it is %s, and a zip archive as well: who opens it decides what it is", k)
	}
	return x.broken(i, err)
}

func (x *Examination) tarBehind(i item, k kind, at int64) {
	x.find(bundle.ReasonPolicyType, i.path, "it is %s, and a tar archive from its byte %d on: who opens it decides what it is", k, at)
}

// opaque finds what nobody here can look into.
func (x *Examination) opaque(i item, k kind) {
	for _, name := range secrets {
		if k.is(name) {
			x.encrypted(i)
		}
	}
	for _, name := range closed {
		if k.is(name) && !slices.Contains(x.rules.Types.Allow, name) {
			x.find(bundle.ReasonPolicyBroken, i.path, "it is %s, which nobody here opens (types: allow it by that name, if it may pass)", name)
			return
		}
	}
}

// types holds a kind against the rules.
func (x *Examination) types(i item, k kind) {
	rule, ok := x.rules.Types.kind(k)
	switch {
	case ok:
	case rule != "":
		x.find(bundle.ReasonPolicyType, i.path, "it is %s, which is denied (%s)", k, rule)
	case !i.part:
		x.find(bundle.ReasonPolicyType, i.path, "it is %s, which is none of the types that are allowed", k)
	}
	if x.rules.Honest && !i.part && !honest(i.name, k) {
		x.find(bundle.ReasonPolicyType, i.path, "it is %s, and its name says otherwise", k)
	}
}

// archive looks into a content that holds others.
func (x *Examination) archive(i item, k kind, open openFunc, r io.Reader) error {
	if i.depth >= x.rules.Archives.Depth {
		return x.stop(i.path, "it stands %d archives deep, and is one: no more than %d are opened", i.depth, x.rules.Archives.Depth)
	}
	at, size := i.at, i.size
	if at == nil && random(k) {
		var done func()
		var err error
		at, size, done, err = spool(r, x.scratch, x.room)
		if errors.Is(err, errRoom) {
			return x.stop(i.path, "it takes more room to look into than there is: %d bytes", x.room)
		}
		if err != nil {
			return x.broken(i, err)
		}
		x.room -= size
		defer func() { x.room += size; done() }()
	}
	if at != nil && !k.is("application/zip") && !k.is("application/x-tar") && tailOf(at, size).endsZip(false) {
		x.find(bundle.ReasonPolicyType, i.path, "it is %s, and a zip archive as well: who opens it decides what it is", k)
	}
	if at != nil && random(k) { // what is only compressed tar decompresses, or refuses
		var t tars
		err := windows(io.NewSectionReader(at, 0, size), headerSize, func(from int64, piece []byte) bool {
			t.add(from, piece)
			return t.found == 0
		})
		if err != nil {
			return x.broken(i, err)
		}
		if t.found > 0 {
			x.tarBehind(i, k, t.found)
		}
	}
	document := k.document()
	links := make(map[string]bool)
	err := open(source{r: r, at: at, size: size, name: i.name, most: x.rules.Archives.Entries - x.entries}, func(e entry) error {
		in := item{path: within(i.path, e.name), name: e.name, depth: i.depth + 1, part: document}
		if x.entries++; x.entries > x.rules.Archives.Entries {
			return x.stop(i.path, "archives hold more than %d entries", x.rules.Archives.Entries)
		}
		return x.entry(in, e, links)
	})
	if errors.Is(err, errEntries) {
		return x.stop(i.path, "archives hold more than %d entries", x.rules.Archives.Entries)
	}
	return x.broken(i, err)
}

// entry looks at one entry of an archive.
func (x *Examination) entry(i item, e entry, links map[string]bool) error {
	if why := e.escapes(links); why != "" {
		x.find(bundle.ReasonPolicyPath, i.path, "%s", why)
	}
	if e.encrypted {
		x.encrypted(i)
	}
	x.name(i.path, e.name, e.open == nil || i.part || e.unnamed)
	if e.macros() && !x.rules.Macros {
		x.find(bundle.ReasonPolicyMacro, i.path, "it is the macros of a document")
	}
	if e.open == nil || e.encrypted {
		return nil
	}
	r, err := e.open()
	if err != nil {
		return x.broken(i, err)
	}
	defer r.Close()
	return x.content(i, &counted{x: x, path: i.path, r: r})
}

func (x *Examination) encrypted(i item) {
	if !x.rules.Archives.Encrypted {
		x.find(bundle.ReasonPolicyEncrypted, i.path, "it is encrypted: nobody here can look into it")
	}
}

// counted counts what comes out of archives against the bounds.
type counted struct {
	x    *Examination
	path string
	r    io.Reader
}

// ratioFrom is from how many bytes on the ratio of what comes out of a file is looked at: a small one of blanks harms nobody.
const ratioFrom = 16 << 20

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	x := c.x
	x.expanded += int64(n)
	x.inner += int64(n)
	bounds := x.rules.Archives
	switch {
	case bounds.Size > 0 && x.expanded > bounds.Size:
		return 0, x.stop(c.path, "more than %d bytes come out of archives", bounds.Size)
	case bounds.Ratio > 0 && x.inner > ratioFrom && x.inner/bounds.Ratio >= max(x.outer, 1):
		return 0, x.stop(c.path, "more than %d bytes come out of each byte of the file", bounds.Ratio)
	}
	return n, err
}

// broken makes a finding of what an archive's reader could not read. What is our own fault, or was told already, stays an error.
func (x *Examination) broken(i item, err error) error {
	var ours *scratchError
	switch {
	case err == nil:
		return nil
	case x.enough:
		return errEnough
	case errors.As(err, &ours):
		return err
	case encrypted(err):
		x.encrypted(i)
		return nil
	}
	x.find(bundle.ReasonPolicyBroken, i.path, "it cannot be looked into to its end: %v", err)
	return nil
}
