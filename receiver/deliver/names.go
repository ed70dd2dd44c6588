package deliver

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"ecluse/protocol/bundle"
)

const (
	maxName = 255 // bytes of one name on every Linux file system
	idSize  = 26  // characters of a bundle's id
	marker  = ".ecluse-"

	// candidatesMost bounds the names that are tried for one item. Each costs one look; more than these under one sequence are a fault of somebody's.
	candidatesMost = 1000
)

// temporary is the name under which an item grows at its destination: hidden, and its bundle's own.
func temporary(name string, id bundle.ID) string {
	tail := marker + id.String()
	return "." + cut(name, maxName-1-len(tail)) + tail
}

// reserved says that a name has the form of a temporary one. An item that is called so is delivered under another: the leftovers of another bundle would be removed by
// that name.
func reserved(name string) bool {
	_, ok := temporaryOf(name)
	return ok
}

// temporaryOf gives the bundle of a temporary name; ok is false for another name.
func temporaryOf(name string) (id bundle.ID, ok bool) {
	at := len(name) - idSize - len(marker)
	if at < 1 || name[0] != '.' || name[at:at+len(marker)] != marker {
		return id, false
	}
	id, err := bundle.ParseID(name[at+len(marker):])
	return id, err == nil
}

// candidate is the name to try for the i-th time, from 0: NAME, NAME~SEQUENCE, NAME~SEQUENCE~2 ...
func candidate(name string, sequence uint64, i int) string {
	if i == 0 {
		return name
	}
	tail := "~" + strconv.FormatUint(sequence, 10)
	if i > 1 {
		tail += "~" + strconv.Itoa(i)
	}
	return cut(name, maxName-len(tail)) + tail
}

// cut gives at most n bytes of s, whole characters only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n])
}
