package config

import (
	"path/filepath"
	"strings"
)

// Directory is a directory, or a file, that a configuration names, and the key under which it does.
type Directory struct{ Key, Path string }

// Apart refuses two that lie one within the other, or are the same: what is done to one would be done to the other. Links are followed as far as anything is there.
func Apart(f *Faults, a, b Directory) {
	x, y := resolved(a.Path), resolved(b.Path)
	switch {
	case x == y:
		f.Add(a.Key, "%q is %s too", a.Path, b.Key)
	case within(x, y):
		f.Add(a.Key, "%q lies within %s, %q", a.Path, b.Key, b.Path)
	case within(y, x):
		f.Add(a.Key, "%s, %q, lies within %q", b.Key, b.Path, a.Path)
	}
}

// Outside refuses a file that lies within a directory: what becomes of the directory's content would become of it.
func Outside(f *Faults, file, dir Directory) {
	if within(resolved(file.Path), resolved(dir.Path)) {
		f.Add(dir.Key, "%s, %q, lies within %q", file.Key, file.Path, dir.Path)
	}
}

// Holds says whether a directory is another, or holds it.
func Holds(dir, other string) bool {
	x, y := resolved(dir), resolved(other)
	return x == y || within(y, x)
}

func within(path, dir string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }

// resolved follows the links of the part of a path that is there.
func resolved(path string) string {
	path = filepath.Clean(path)
	for at, rest := path, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
	}
}
