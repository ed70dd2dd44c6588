package policy

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// member is one entry of a made-up archive.
type member struct {
	name, content string
	mode          fs.FileMode
	link          string
	kind          byte // of tar
}

func m(name, content string) member { return member{name: name, content: content} }

func zipOf(members ...member) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.content == "" {
			h.Method = zip.Store // as programs do; a compressor is made ready for each that is not
		}
		h.SetMode(m.mode | 0o644)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(m.content))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func tarOf(members ...member) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Size: int64(len(m.content)), Mode: 0o644, Typeflag: tar.TypeReg, Linkname: m.link}
		if m.kind != 0 {
			h.Typeflag = m.kind
		}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = w.Write([]byte(m.content))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// gzNamed is a gzip stream that says what its content is called.
func gzNamed(name string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Name = name
	_, _ = w.Write([]byte("words"))
	_ = w.Close()
	return out.Bytes()
}

// global is a tar archive with a header for all its entries.
func global() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"linkpath": "../../etc/passwd"}})
	if err == nil {
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a"})
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

// hiding is a zip archive between whose entries and directory stands what is in neither.
func hiding() []byte {
	z := zipOf(m("a", "words"))
	at := bytes.Index(z, []byte(zipCentral))
	hidden := bytes.Repeat([]byte("hidden "), 20)
	end := bytes.LastIndex(z, []byte(zipEnd))
	binary.LittleEndian.PutUint32(z[end+16:], uint32(at+len(hidden)))
	return append(append(append([]byte(nil), z[:at]...), hidden...), z[at:]...)
}

func zst(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

func xzOf(b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.NewWriter(&out)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

// nested packs a content so many times.
func nested(times int, inner []byte, pack func([]byte) []byte) []byte {
	for range times {
		inner = pack(inner)
	}
	return inner
}

func zipped(b []byte) []byte { return zipOf(m("inner", string(b))) }

// endless is a stream in a stream, deeper than anybody opens: what somebody who goes on as long as there is something to open never ends with.
func endless() []byte { return nested(40, []byte("end"), gz) }

// sparse is a GNU sparse tar: a header of one block that says that its file has so many bytes, and holds none.
func sparse(size int64) []byte {
	h := make([]byte, 512)
	copy(h, "sparse.bin")
	copy(h[100:], "0000644\x00")
	copy(h[108:], "0000000\x00")
	copy(h[116:], "0000000\x00")
	copy(h[124:], "00000000000\x00")
	copy(h[136:], "00000000000\x00")
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	base256 := func(at []byte, n int64) {
		at[0] = 0x80
		binary.BigEndian.PutUint64(at[4:12], uint64(n))
	}
	base256(h[386:], size) // one hole, up to the end
	copy(h[398:], "00000000000\x00")
	base256(h[483:], size)
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(h, make([]byte, 1024)...)
}

// overlapping is a zip archive whose entries are all the same bytes of it.
func overlapping(entries int, content string) []byte {
	var out bytes.Buffer
	local := func(name string) []byte {
		b := make([]byte, 30, 30+len(name))
		copy(b, "PK\x03\x04")
		binary.LittleEndian.PutUint16(b[4:], 20)
		binary.LittleEndian.PutUint32(b[14:], crc32.ChecksumIEEE([]byte(content)))
		binary.LittleEndian.PutUint32(b[18:], uint32(len(content)))
		binary.LittleEndian.PutUint32(b[22:], uint32(len(content)))
		binary.LittleEndian.PutUint16(b[26:], uint16(len(name)))
		return append(b, name...)
	}
	out.Write(local("000000"))
	out.WriteString(content)
	start := out.Len()
	for i := range entries {
		name := fmt.Sprintf("%06d", i)
		b := make([]byte, 46)
		copy(b, "PK\x01\x02")
		copy(b[6:], local(name)[4:30])
		out.Write(b)
		out.WriteString(name)
	}
	end := make([]byte, zipTail)
	copy(end, zipEnd)
	binary.LittleEndian.PutUint16(end[8:], uint16(entries))
	binary.LittleEndian.PutUint16(end[10:], uint16(entries))
	binary.LittleEndian.PutUint32(end[12:], uint32(out.Len()-start))
	binary.LittleEndian.PutUint32(end[16:], uint32(start))
	out.Write(end)
	return out.Bytes()
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return b
}

// elf is the smallest that looks like a program.
var elf = append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00"), make([]byte, 64)...)

// ole begins like a document of the old office formats.
func ole(more []byte) []byte {
	b := append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 600)...)
	return append(append(b, more...), make([]byte, 512)...)
}

// eicar is the test file of the antivirus makers, which is no virus. It is written so that this source is none either.
var eicar = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}` + `$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)
