package policy

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"ecluse/protocol/bundle"
)

// Rules are what a tenant lets in. The zero value of a bound is no bound.
type Rules struct {
	Names    Lists    // globs: without a slash they are held against each name, with one against the whole path; ** crosses directories
	Types    Lists    // media types: "text/csv", a family "image/*", or one that others are made of, as "application/zip" is what office documents are
	Files    int64    // files of an item
	FileSize int64    // bytes of one
	Size     int64    // bytes of all
	Text     []string // phrases that must not occur in text, whatever the case of their letters
	Macros   bool     // documents may bring macros
	Honest   bool     // a name's extension must be one of its content's
	Archives Archives
}

// Engine is raised when contents are judged otherwise by the same rules: what an older one let pass is looked at again.
const Engine = 3

// Lists are what alone is allowed, where that is not empty, and what is denied all the same.
type Lists struct{ Allow, Deny []string }

// Archives say how far archives are looked into, and what they may be.
type Archives struct {
	Depth     int   // archives within archives; a compressed tar is two
	Entries   int64 // of an item's archives together
	Size      int64 // bytes that come out of them together
	Ratio     int64 // how many bytes may come out of one byte of a file
	Encrypted bool  // what nobody here can open passes
}

// DefaultArchives are the bounds where a configuration says nothing: above what packages and data sets have, and below what would stand in the way of others.
var DefaultArchives = Archives{Depth: 8, Entries: 100_000, Size: 64 << 30, Ratio: 1000}

// Finding is one thing that the rules do not let in.
type Finding struct {
	Reason bundle.Reason `json:"reason"`
	Path   string        `json:"path"` // of the item; what stands in archives follows behind "!": a/b.zip!c.txt
	Text   string        `json:"text"`
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s (%s)", f.Path, f.Text, f.Reason) }

// within is the path of an archive's entry.
func within(archive, entry string) string { return archive + "!" + entry }

// name holds a path against the lists of names; of a directory, only against what is denied.
func (l Lists) name(path string, dir bool) (pattern string, ok bool) {
	path = strings.TrimPrefix(path, "./")
	for _, p := range l.Deny {
		if globs(p, path) || globs(p, strings.TrimRight(path, ". ")) { // some systems leave those at the end away
			return p, false
		}
	}
	for _, p := range l.Allow {
		if globs(p, path) {
			return "", true
		}
	}
	return "", dir || len(l.Allow) == 0
}

// globs says whether a pattern is for a path. Letters match in either case: a consumer may not tell them apart.
func globs(pattern, path string) bool {
	pattern, path = strings.ToLower(pattern), strings.ToLower(path)
	if !strings.Contains(pattern, "/") {
		path = path[strings.LastIndexByte(path, '/')+1:]
	}
	return doublestar.MatchUnvalidated(pattern, path)
}
