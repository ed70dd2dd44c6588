package bundle

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
)

// Manifest is what a bundle holds. One that was parsed keeps M-1 to M-6; one that was written parses.
type Manifest struct {
	Header
	Table     *Table
	ChunkSize int    // bytes: a power of two
	Marks     []Mark // one for each content chunk, as the Layout of Table and ChunkSize gives them

	Size   int64  // bytes of the text that was parsed or written
	Digest Digest // of that text
}

// Limits are a receiver's own, below those of SPEC.md section 1; zero means the latter.
type Limits struct {
	Manifest    int64 // bytes of the text
	Files, Dirs int
	Bytes       int64 // of content
}

func (l Limits) filled() Limits {
	fill := func(v, most int64) int64 {
		if v <= 0 {
			return most
		}
		return min(v, most)
	}
	return Limits{
		Manifest: fill(l.Manifest, MaxManifest),
		Files:    int(fill(int64(l.Files), MaxFiles)),
		Dirs:     int(fill(int64(l.Dirs), MaxDirs)),
		Bytes:    fill(l.Bytes, MaxBytes),
	}
}

// WriteManifest sets Sums, Size and Digest and writes the text, walking the table once for SHA256SUMS and once for the text. What ParseManifest would
// refuse is refused before the first byte; so is a file whose digest was never set.
func WriteManifest(w io.Writer, m *Manifest) error {
	if err := m.check(); err != nil {
		return err
	}
	sums := sha256.New()
	if err := WriteSums(sums, m.Table); err != nil {
		return err
	}
	m.Sums = Digest(sums.Sum(nil))
	text := sha256.New()
	counted := &counter{w: io.MultiWriter(w, text)}
	if err := m.write(counted); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	m.Size, m.Digest = counted.n, Digest(text.Sum(nil))
	return nil
}

// check holds what WriteManifest promises.
func (m *Manifest) check() error {
	if err := m.Header.check(); err != nil {
		return err
	}
	if err := checkChunkSize(m.ChunkSize); err != nil {
		return err
	}
	if err := m.Table.Check(Linux, m.Name); err != nil {
		return err
	}
	if want := ChunkCount(m.Table, m.ChunkSize); want != len(m.Marks) || want > MaxContentChunks {
		return Reject(ReasonManifestTotal, "M-5", "%d chunks and %d marks, at most %d", want, len(m.Marks), MaxContentChunks)
	}
	for number := 1; number <= m.Table.Files(); number++ {
		if m.Table.files.at(number - 1).digest.IsZero() {
			return fmt.Errorf("write manifest: file %d has no digest", number)
		}
	}
	if n := m.Length(); n > MaxManifest {
		return Reject(ReasonManifestField, "M-2", "a manifest of %d bytes, more than %d: split it", n, MaxManifest)
	}
	return nil
}

func (m *Manifest) write(w io.Writer) error {
	out := &spool{w: w}
	out.put(m.appendHeader)
	out.list("],\n", m.Table.Files(), func(dst []byte, i int) []byte { return appendFile(dst, m.Table.File(i+1)) })
	out.put(func(dst []byte) []byte { return append(dst, `"dirs":[`...) })
	out.list("],\n", m.Table.Dirs(), func(dst []byte, i int) []byte { return appendDir(dst, m.Table.Dir(i)) })
	out.put(m.appendChunks)
	out.list("]},\n", len(m.Marks), func(dst []byte, i int) []byte { return append(m.Marks[i].append(append(dst, '"')), '"') })
	out.put(m.appendTotal)
	return out.flush()
}

func (m *Manifest) appendChunks(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `"chunks":{"size":`...), int64(m.ChunkSize), 10)
	return append(dst, `,"marks":[`...)
}

func (m *Manifest) appendTotal(dst []byte) []byte {
	return append(strconv.AppendInt(append(dst, `"total":`...), m.Table.Total(), 10), "}\n"...)
}

// Length gives the bytes that the manifest's text has or will have; of Marks only their number counts. So a sender knows before
// the first packet whether an item must be split. The line feed that opens a list makes up for the comma that its last entry has not.
func (m *Manifest) Length() int64 {
	const mark = len(`"0123456789abcdef"`) + separator
	return int64(len(m.appendHeader(nil))+len("],\n")+len(`"dirs":[`)+len("],\n")+len(m.appendChunks(nil))+len("]},\n")+len(m.appendTotal(nil))) +
		m.Table.lines + int64(len(m.Marks)*mark)
}

// ParseManifest reads a manifest to its end and holds it against M-1 to M-6 and N-1 to N-3. It holds 64 KiB of the text, the table and the marks,
// and gives up at the first byte that departs from the form. What the manifest contradicts outside itself (M-7, M-8, signature, chain, portable names)
// is for AgreesWith, Judge and Table.Check. An error that is no Rejection is the reader's.
func ParseManifest(r io.Reader, limits Limits) (*Manifest, error) {
	limits = limits.filled()
	text := sha256.New()
	counted := &counter{w: text}
	p := &manifestParser{
		scanner: scan(io.TeeReader(io.LimitReader(r, limits.Manifest+1), counted), limits.Manifest),
		limits:  limits,
		m:       &Manifest{Table: new(Table)},
	}
	for _, step := range []func(){p.header, p.files, p.dirs, p.tree, p.chunks, p.total, p.end, p.sums} {
		step()
		if counted.n > limits.Manifest {
			reason := ReasonLimit // a receiver's own
			if limits.Manifest == MaxManifest {
				reason = ReasonManifestField
			}
			return nil, Reject(reason, "M-2", "the manifest is longer than %d bytes", limits.Manifest)
		}
		if p.err != nil {
			return nil, p.err
		}
	}
	p.m.Size, p.m.Digest = counted.n, Digest(text.Sum(nil))
	return p.m, nil
}

// manifestParser is a scanner that knows the keys.
type manifestParser struct {
	*scanner
	limits Limits
	m      *Manifest
}

// member reads one line of the header whose value is a string.
func (p *manifestParser) member(key string, take func(value []byte) error) {
	p.literal(`"` + key + `":`)
	value := p.quoted()
	if p.err == nil {
		p.refuse(key, take(value))
	}
	p.literal(",\n")
	p.next()
}

func (p *manifestParser) files() {
	p.list("],\n", func() {
		p.file(p.m.Table)
		if p.m.Table.Files() > p.limits.Files || p.m.Table.Total() > p.limits.Bytes {
			p.refuse("files", Reject(ReasonLimit, "M-2", "more than the %d files or %d bytes that are allowed", p.limits.Files, p.limits.Bytes))
		}
	})
}

func (p *manifestParser) dirs() {
	p.next()
	p.literal(`"dirs":[`)
	p.list("],\n", func() {
		p.dir(p.m.Table)
		if p.m.Table.Dirs() > p.limits.Dirs {
			p.refuse("dirs", Reject(ReasonLimit, "M-2", "more than the %d directories that are allowed", p.limits.Dirs))
		}
	})
}

func (p *manifestParser) tree() {
	if p.err == nil {
		p.err = p.m.Table.Check(Linux, p.m.Name)
	}
}

// chunks knows from the sizes how many marks there must be. It trusts that number to stop, and not to allocate.
func (p *manifestParser) chunks() {
	p.next()
	p.literal(`"chunks":{"size":`)
	p.m.ChunkSize = int(p.integer(ChunkSizeMax))
	p.literal(`,"marks":[`)
	if p.err == nil {
		p.refuse("size", checkChunkSize(p.m.ChunkSize))
	}
	if p.err != nil {
		return
	}
	want := ChunkCount(p.m.Table, p.m.ChunkSize)
	if want > MaxContentChunks {
		p.refuse("chunks", Reject(ReasonManifestField, "M-2", "%d chunks, more than %d", want, MaxContentChunks))
	}
	p.list("]},\n", func() {
		v := p.quoted()
		if p.err != nil {
			return
		}
		mark, err := parseMark(v)
		if p.m.Marks = append(p.m.Marks, mark); len(p.m.Marks) > want {
			err = Reject(ReasonManifestTotal, "M-5", "more marks than the %d chunks", want)
		}
		p.refuse("mark", err)
	})
	if len(p.m.Marks) != want {
		p.refuse("marks", Reject(ReasonManifestTotal, "M-5", "%d marks for %d chunks", len(p.m.Marks), want))
	}
}

func (p *manifestParser) total() {
	p.next()
	p.literal(`"total":`)
	total := p.integer(MaxBytes)
	p.literal("}\n")
	if total != uint64(p.m.Table.Total()) {
		p.refuse("total", Reject(ReasonManifestTotal, "M-5", "%d, but the sizes add up to %d", total, p.m.Table.Total()))
	}
}

func (p *manifestParser) sums() {
	h := sha256.New()
	if p.err = WriteSums(h, p.m.Table); p.err == nil && Digest(h.Sum(nil)) != p.m.Sums {
		p.err = Reject(ReasonManifestSums, "M-6", "SHA256SUMS has another digest than %s", p.m.Sums)
	}
}
