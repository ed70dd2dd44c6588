package bundle

import "strconv"

// The lines of a manifest that stand for one file and one directory, both ways. In strings only the quote and the backslash are escaped.
//
//	{"path":"n/a","size":12,"mode":"0600","mtime":1767225599,"sha256":"<64 hex>"}
//	{"path":"n","mode":"0700","mtime":1767225599}
const (
	keyPath   = `{"path":"`
	keySize   = `","size":`
	keyMode   = `,"mode":"`
	keyMtime  = `","mtime":`
	keySHA256 = `,"sha256":"`
	endFile   = `"}`
	keyDirMod = `","mode":"`
	endDir    = `}`
	modeText  = 4 // "0700"
	separator = 2 // "," and a line feed behind each entry but the last, which has the line feed alone
)

// fileLine is the length of a file's line with its separator.
func fileLine[P ~string | ~[]byte](p P, size, mtime int64) int64 {
	return int64(len(keyPath)+quotedLength(p)+len(keySize)+digits(size)+len(keyMode)+modeText+len(keyMtime)+digits(mtime)+
		len(keySHA256)) + 64 + int64(len(endFile)) + separator
}

// dirLine is the length of a directory's line with its separator.
func dirLine[P ~string | ~[]byte](p P, mtime int64) int64 {
	return int64(len(keyPath)+quotedLength(p)+len(keyDirMod)+modeText+len(keyMtime)+digits(mtime)+len(endDir)) + separator
}

func appendFile(dst []byte, f File) []byte {
	dst = append(dst, keyPath...)
	dst = appendQuoted(dst, string(f.Path))
	dst = append(dst, keySize...)
	dst = strconv.AppendInt(dst, f.Size, 10)
	dst = append(dst, keyMode...)
	dst = appendMode(dst, f.Mode)
	dst = append(dst, keyMtime...)
	dst = strconv.AppendInt(dst, f.Mtime, 10)
	dst = append(dst, keySHA256...)
	dst = appendHex(dst, f.Digest[:])
	return append(dst, endFile...)
}

func appendDir(dst []byte, d Dir) []byte {
	dst = append(dst, keyPath...)
	dst = appendQuoted(dst, string(d.Path))
	dst = append(dst, keyDirMod...)
	dst = appendMode(dst, d.Mode)
	dst = append(dst, keyMtime...)
	dst = strconv.AppendInt(dst, d.Mtime, 10)
	return append(dst, endDir...)
}

// file reads the line of a file up to its separator into a table. The path may lie in memory that the next string with an escape
// overwrites; neither a mode nor a digest has one.
func (s *scanner) file(t *Table) {
	s.literal(keyPath[:len(keyPath)-1])
	path := s.quoted()
	s.literal(keySize[1:])
	size := s.integer(MaxBytes)
	s.literal(keyMode[:len(keyMode)-1])
	mode := s.mode()
	s.literal(keyMtime[1:])
	mtime := s.signed(MaxMtime)
	s.literal(keySHA256[:len(keySHA256)-1])
	hex := s.quoted()
	s.literal(endFile[1:])
	if s.err != nil {
		return
	}
	digest, err := parseDigest(hex)
	s.refuse("sha256", err)
	if r := checkPath(path); r != nil {
		s.refuse("path", r.about(string(path)))
	} else if s.err == nil {
		if r := addFile(t, path, int64(size), mode, mtime, digest); r != nil {
			s.refuse("file", r)
		}
	}
}

// dir reads the line of a directory up to its separator into a table.
func (s *scanner) dir(t *Table) {
	s.literal(keyPath[:len(keyPath)-1])
	path := s.quoted()
	s.literal(keyDirMod[1 : len(keyDirMod)-1])
	mode := s.mode()
	s.literal(keyMtime[1:])
	mtime := s.signed(MaxMtime)
	s.literal(endDir)
	if s.err != nil {
		return
	}
	if r := checkPath(path); r != nil {
		s.refuse("path", r.about(string(path)))
	} else if r := addDir(t, path, mode, mtime); r != nil {
		s.refuse("directory", r)
	}
}

// mode reads M-4's four digits, in units of 0100.
func (s *scanner) mode() uint8 {
	v := s.quoted()
	if s.err == nil && (len(v) != modeText || v[0] != '0' || v[1] < '0' || v[1] > '7' || v[2] != '0' || v[3] != '0') {
		s.refuse("mode", Reject(ReasonManifestField, "M-4", "%q is not 0000 to 0700 in steps of 0100", excerpt(v)))
	}
	if s.err != nil {
		return 0
	}
	return v[1] - '0'
}

func appendMode(dst []byte, mode uint32) []byte {
	return append(dst, '0', '0'+byte(mode>>6&7), '0', '0')
}

// appendQuoted appends what stands between the quotes of a string.
func appendQuoted(dst []byte, s string) []byte {
	start := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(append(dst, s[start:i]...), '\\')
			start = i
		}
	}
	return append(dst, s[start:]...)
}

func quotedLength[P ~string | ~[]byte](s P) int {
	n := len(s)
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			n++
		}
	}
	return n
}

// digits is the length of an integer in decimal, with its sign.
func digits(v int64) int {
	n := 1
	if v < 0 {
		n++
	}
	for v /= 10; v != 0; v /= 10 {
		n++
	}
	return n
}
