package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// NamePolicy is a tenant's `names:`: which names it takes besides those that N-1 to N-3 allow.
type NamePolicy uint8

// The policies. Linux takes every path; Portable takes what Windows and macOS can hold as well (N-4).
const (
	Linux NamePolicy = iota
	Portable
)

// ParseNamePolicy reads "linux" or "portable".
func ParseNamePolicy(s string) (NamePolicy, error) {
	for _, p := range []NamePolicy{Linux, Portable} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is no rule for names: linux or portable", s)
}

// String gives the word for the policy.
func (p NamePolicy) String() string {
	if p == Portable {
		return "portable"
	}
	return "linux"
}

// Check holds the whole table against M-3 (manifest-tree), N-3 and N-4 (path-collision, path-portable): one tree under name, every parent
// there, no two paths for one name. A refusal lists the first ten paths. It costs one walk, and 20 bytes an entry while it runs where
// any path is not its own normal form.
func (t *Table) Check(policy NamePolicy, name string) error {
	for _, check := range []func() *Rejection{
		func() *Rejection { return t.checkRoot(name) },
		t.checkTree,
		func() *Rejection { return t.checkPortable(policy) },
		func() *Rejection { return t.checkForms(policy) },
	} {
		if r := check(); r != nil {
			return r
		}
	}
	return nil
}

// list notes names for a refusal, up to maxListed.
type list struct{ names []string }

func (l *list) add(p Path) {
	if len(l.names) < maxListed {
		l.names = append(l.names, strings.Clone(string(p)))
	}
}

// reject makes the refusal, or nil where nothing was noted.
func (l *list) reject(reason Reason, rule, detail string) *Rejection {
	if len(l.names) == 0 {
		return nil
	}
	r := Reject(reason, rule, "%s", detail)
	r.Names = l.names
	return r
}

// all walks files and directories as one list in ascending order; where a directory and a file have one path, the directory is first.
func (t *Table) all(visit func(p Path, dir bool)) {
	file, dir := 1, 0
	for file <= t.Files() || dir < t.Dirs() {
		if dir < t.Dirs() && (file > t.Files() || Compare(t.dirPath(dir), t.filePath(file)) <= 0) {
			visit(t.dirPath(dir), true)
			dir++
		} else {
			visit(t.filePath(file), false)
			file++
		}
	}
}

func (t *Table) filePath(number int) Path { return t.path(t.files.at(number - 1).path) }
func (t *Table) dirPath(i int) Path       { return t.path(t.dirs.at(i).path) }

// checkRoot holds that every path is name or lies below it. The lists are in order, so their ends tell.
func (t *Table) checkRoot(name string) *Rejection {
	if t.Files()+t.Dirs() == 0 {
		return Reject(ReasonManifestTree, "M-3", "there is no file and no directory")
	}
	root, outside := Path(name), list{}
	for _, p := range t.ends() {
		if p != root && !root.holds(p) {
			outside.add(p)
		}
	}
	return outside.reject(ReasonManifestTree, "M-3", "a path does not begin with the name of the bundle")
}

func (t *Table) ends() (ends []Path) {
	if n := t.Files(); n > 0 {
		ends = append(ends, t.filePath(1), t.filePath(n))
	}
	if n := t.Dirs(); n > 0 {
		ends = append(ends, t.dirPath(0), t.dirPath(n-1))
	}
	return ends
}

// checkTree holds that every parent is a directory of the table. What a directory holds follows it in order without a gap, so a stack of
// the entries that hold the present one is enough.
func (t *Table) checkTree() *Rejection {
	type entry struct {
		path Path
		dir  bool
	}
	var stack []entry
	var orphans, collisions list
	t.all(func(p Path, dir bool) {
		for len(stack) > 0 && stack[len(stack)-1].path != p && !stack[len(stack)-1].path.holds(p) {
			stack = stack[:len(stack)-1]
		}
		var top entry
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		switch {
		case len(stack) > 0 && (top.path == p || !top.dir):
			collisions.add(p)
		case top.path != p.Parent():
			orphans.add(p)
		}
		stack = append(stack, entry{p, dir})
	})
	if r := collisions.reject(ReasonPathCollision, "N-3", "a file stands where a directory is needed"); r != nil {
		return r
	}
	return orphans.reject(ReasonManifestTree, "M-3", "the directory that holds it is not in the list")
}

// checkPortable holds N-4 for each name by itself. Of each path the last name is enough: its parents are in the table.
func (t *Table) checkPortable(policy NamePolicy) *Rejection {
	if policy != Portable {
		return nil
	}
	var refused list
	t.all(func(p Path, _ bool) {
		if !portable(p.Base()) {
			refused.add(p)
		}
	})
	return refused.reject(ReasonPathPortable, "N-4", "a name that not every system can hold")
}

// portable tells whether Windows takes a name of one component.
func portable(name string) bool {
	if strings.ContainsAny(name, `<>:"\|?*`) || name[len(name)-1] == '.' || name[len(name)-1] == ' ' {
		return false
	}
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " ")) // Windows drops the spaces before an extension
	switch stem {
	case "CON", "PRN", "AUX", "NUL":
		return false
	}
	port, isCOM := strings.CutPrefix(stem, "COM")
	if !isCOM {
		var isLPT bool
		if port, isLPT = strings.CutPrefix(stem, "LPT"); !isLPT {
			return true
		}
	}
	return !(len(port) == 1 && port[0] >= '0' && port[0] <= '9') && port != "¹" && port != "²" && port != "³"
}

// former gives the form of a path under which it may stand once: NFC (N-3), or the canonical caseless form of Unicode D145 brought to NFC (N-4).
type former struct {
	caser  cases.Caser
	policy NamePolicy
}

func newFormer(policy NamePolicy) *former {
	return &former{policy: policy, caser: cases.Fold()}
}

func (f *former) form(p Path) string {
	if f.policy == Portable {
		return norm.NFC.String(strings.Map(cherokee, f.caser.String(norm.NFD.String(string(p)))))
	}
	return norm.NFC.String(string(p))
}

// cherokee folds the one script that cases.Fold of x/text v0.43.0 gets wrong: it swaps its cases, so that a pair stays a pair.
func cherokee(r rune) rune {
	switch {
	case r >= 0xab70 && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case r >= 0x13f8 && r <= 0x13fd:
		return r - 8
	}
	return r
}

// plain tells cheaply that a path is its own form: ASCII, and in lower case where that matters.
func (f *former) plain(p Path) bool {
	for i := range len(p) {
		if c := p[i]; c >= 0x80 || f.policy == Portable && c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// sum is 16 bytes of the SHA-256 of a path's form: equal sums are taken for equal forms.
func (f *former) sum(p Path) [16]byte {
	form := string(p)
	if !f.plain(p) {
		form = f.form(p)
	}
	digest := sha256.Sum256([]byte(form))
	return [16]byte(digest[:16])
}

// formed is the sum of the form of one entry: a directory, or behind the last of them a file.
type formed struct {
	sum   [16]byte
	entry uint32
}

// checkForms holds that no two paths have one form. Where every path is its own form there is nothing to compare, since no path stands
// twice; else each is hashed, since ASCII may be the form of another (the Kelvin sign's is K).
func (t *Table) checkForms(policy NamePolicy) *Rejection {
	f := newFormer(policy)
	changed := false
	t.all(func(p Path, _ bool) { changed = changed || !f.plain(p) && f.form(p) != string(p) })
	if !changed {
		return nil
	}
	sums := make([]formed, 0, t.Files()+t.Dirs())
	for i := range cap(sums) {
		sums = append(sums, formed{f.sum(t.entryPath(i)), uint32(i)})
	}
	slices.SortFunc(sums, func(a, b formed) int { return cmp.Or(bytes.Compare(a.sum[:], b.sum[:]), cmp.Compare(a.entry, b.entry)) })
	var names list
	for i := range sums {
		if i > 0 && sums[i].sum == sums[i-1].sum || i+1 < len(sums) && sums[i].sum == sums[i+1].sum {
			names.add(t.entryPath(int(sums[i].entry)))
		}
	}
	if policy == Portable {
		return names.reject(ReasonPathCollision, "N-4", "two names that differ only in case or in their normal form")
	}
	return names.reject(ReasonPathCollision, "N-3", "two names that differ only in their normal form")
}

func (t *Table) entryPath(i int) Path {
	if i < t.Dirs() {
		return t.dirPath(i)
	}
	return t.filePath(i - t.Dirs() + 1)
}
