package bundle

import (
	"strings"
	"unicode/utf8"
)

// Path is the path of a file or a directory within a bundle: 1 to 64 components joined by '/', the first of which is the bundle's
// name (N-1, N-2). It is data; it becomes a name on disk through os.Root only.
type Path string

// The refusals of a path, made once: a peer that sends a million of them costs nothing.
var (
	errPathLong    = Reject(ReasonPathLong, "N-1", "the path is longer than %d bytes", MaxPath)
	errPathDeep    = Reject(ReasonPathLong, "N-1", "the path is deeper than %d levels", MaxDepth)
	errPathName    = Reject(ReasonPathLong, "N-1", "a name in the path is longer than %d bytes", MaxComponent)
	errPathEmpty   = Reject(ReasonPathSyntax, "N-1", "a name in the path is empty")
	errPathDots    = Reject(ReasonPathSyntax, "N-1", "a name in the path is . or ..")
	errPathUTF8    = Reject(ReasonPathSyntax, "N-1", "the path is not valid UTF-8")
	errPathControl = Reject(ReasonPathControl, "N-2", "there is a control character in the path")
	errNotOneName  = Reject(ReasonPathSyntax, "N-1", "a path stands where one name should")
)

// ParsePath takes a path as it is or refuses it: path-syntax, path-long (N-1) or path-control (N-2). It changes nothing: other normal
// forms than NFC pass, and collide with their like in Table.Check.
func ParsePath(s string) (Path, error) {
	if r := checkPath(s); r != nil {
		return "", r.about(s)
	}
	return Path(s), nil
}

// ParseComponent takes a path of one component: the name of a bundle.
func ParseComponent(s string) (string, error) {
	r := checkPath(s)
	if r == nil && strings.Contains(s, "/") {
		r = errNotOneName
	}
	if r != nil {
		return "", r.about(s)
	}
	return s, nil
}

// about gives a copy of a refusal that lists one name.
func (r *Rejection) about(name string) *Rejection {
	listed := *r
	listed.Names = []string{cut(name, MaxPath)}
	return &listed
}

// checkPath holds N-1 and N-2 against a path of any length, in one walk.
func checkPath[T string | []byte](s T) *Rejection {
	if len(s) > MaxPath {
		return errPathLong
	}
	depth, start := 0, 0
	for i := 0; i <= len(s); {
		if i == len(s) || s[i] == '/' {
			if r := checkComponent(s[start:i]); r != nil {
				return r
			}
			if depth++; depth > MaxDepth {
				return errPathDeep
			}
			i++
			start = i
			continue
		}
		size, r := checkRune(s[i:])
		if r != nil {
			return r
		}
		i += size
	}
	return nil
}

// checkComponent holds the rules for one name whose characters are allowed.
func checkComponent[T string | []byte](c T) *Rejection {
	switch {
	case len(c) == 0:
		return errPathEmpty
	case len(c) > MaxComponent:
		return errPathName
	case c[0] == '.' && (len(c) == 1 || len(c) == 2 && c[1] == '.'):
		return errPathDots
	}
	return nil
}

// checkRune gives the size of the first character of s, or refuses it.
func checkRune[T string | []byte](s T) (int, *Rejection) {
	if c := s[0]; c < utf8.RuneSelf {
		if c < 0x20 || c == 0x7f {
			return 0, errPathControl
		}
		return 1, nil
	}
	r, size := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
	switch {
	case r == utf8.RuneError && size == 1:
		return 0, errPathUTF8
	case control(r):
		return 0, errPathControl
	}
	return size, nil
}

// control tells the characters that N-2 refuses: those that end or hide lines, and those that turn the direction of writing, so that a
// name would be shown as another. Joiners and variation selectors are not among them: names of people need them.
func control(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f: // C0, DEL, C1
		return true
	case r == 0x2028, r == 0x2029: // line and paragraph separators
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f: // marks of direction
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // embeddings, overrides, isolates
		return true
	}
	return false
}

// Compare orders paths component by component, bytewise, and a directory before what it holds (N-5).
func Compare(a, b Path) int { return comparePaths(a, b) }

// comparePaths counts '/' below every byte of a name: that is what "component by component" comes to.
func comparePaths[A, B ~string | ~[]byte](a A, b B) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		case a[i] < b[i]:
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// Components gives the names that the path is made of.
func (p Path) Components() []string { return strings.Split(string(p), "/") }

// Base gives the last name of the path.
func (p Path) Base() string { return string(p[strings.LastIndexByte(string(p), '/')+1:]) }

// Parent gives the path of the directory that holds this one, or "" at the top.
func (p Path) Parent() Path { return p[:max(0, strings.LastIndexByte(string(p), '/'))] }

// String gives the path as it is. It is not quoted: it may hold quotes and backslashes.
func (p Path) String() string { return string(p) }

// holds tells whether other lies somewhere below p.
func (p Path) holds(other Path) bool {
	return len(other) > len(p) && other[len(p)] == '/' && other[:len(p)] == p
}
