package signatures

import (
	"io/fs"
	"slices"
	"strings"
)

// Beside shows a file together with the signatures that lie beside it as an item that holds them all. A directory is one already.
func Beside(files fs.FS, name string) (view fs.FS, item string, err error) {
	info, err := fs.Stat(files, name)
	if err != nil || info.IsDir() {
		return files, name, err
	}
	all, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, "", err
	}
	all = slices.DeleteFunc(all, func(e fs.DirEntry) bool {
		rest, ok := strings.CutPrefix(e.Name(), name)
		who, signature := strings.CutSuffix(rest, suffix)
		return !ok || rest != "" && (!signature || who != "" && (who[0] != '.' || strings.Contains(who[1:], ".")))
	})
	return &some{files, all}, ".", nil
}

// some of the files of a directory.
type some struct {
	fs.FS
	list []fs.DirEntry
}

// ReadDir implements fs.ReadDirFS.
func (s *some) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return s.list, nil
}
