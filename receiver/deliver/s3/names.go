package s3

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
)

// Names says how objects are called.
type Names uint8

// The ways. ByPath is PREFIX and the path; Short is PREFIX and 32 characters that follow from the path alone.
const (
	ByPath Names = iota
	Short
)

// ParseNames takes the word of the configuration.
func ParseNames(s string) (Names, bool) {
	switch s {
	case "path":
		return ByPath, true
	case "short":
		return Short, true
	}
	return ByPath, false
}

// Marks is the first component of the names under which manifests stand.
const Marks = ".ecluse"

const (
	keyMost = 1024 // bytes of an object's name in every store

	// ShortMost is what a short name has at most, in characters, and ShortPrefixMost what of that a prefix may be: the longest one behind it is that of a signature.
	ShortMost       = 55
	ShortPrefixMost = ShortMost - len(Marks) - 1 - idSize - len(signatureEnd)

	idSize       = 26
	manifestEnd  = ".json"
	signatureEnd = ".json.sig"
	indexEnd     = ".names"
	hashBytes    = 20 // of a SHA-256: 32 characters, and nobody finds two paths for one name
)

var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// shortName is what Short makes of a path.
func shortName(path string) string {
	sum := sha256.Sum256([]byte(path))
	return lower.EncodeToString(sum[:hashBytes])
}

// key is the name of a file's object.
func (s *Store) key(path bundle.Path) string {
	if s.o.Names == Short {
		return s.o.Prefix + shortName(string(path))
	}
	return s.o.Prefix + string(path)
}

// mark is the name of an object that is about a bundle.
func (s *Store) mark(id bundle.ID, end string) string {
	return s.o.Prefix + Marks + "/" + id.String() + end
}

// fit refuses, before anything is sent, what cannot be an object's name.
func (s *Store) fit(m *bundle.Manifest) error {
	if s.o.Names == Short {
		return nil
	}
	if m.Name == Marks {
		return remote.Unfit("an item called %s would stand where manifests do (names: short takes it)", Marks)
	}
	for n := 1; n <= m.Table.Files(); n++ {
		if path := m.Table.File(n).Path; len(s.key(path)) > keyMost {
			return remote.Unfit("%q makes an object's name of %d bytes, and stores take %d (names: short takes it)", path, len(s.key(path)), keyMost)
		}
	}
	return nil
}

// index says which object is which path, a line each.
func (s *Store) index(t *bundle.Table) []byte {
	var b strings.Builder
	for n := 1; n <= t.Files(); n++ {
		path := t.File(n).Path
		b.WriteString(s.key(path) + "  " + string(path) + "\n")
	}
	return []byte(b.String())
}
