package examine

import (
	"fmt"
	"io/fs"
	"os"

	"ecluse/internal/policy"
)

// look holds an item against the rules, and everything in it.
func look(root *os.Root, job Job) (*Report, error) {
	x := job.Rules.Begin(job.Scratch, job.Room)
	report := new(Report)
	err := fs.WalkDir(root.FS(), job.Item, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			x.Dir(path)
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("%q is neither a file nor a directory", path)
		}
		size, err := examine(x, root, path)
		report.Files++
		report.Bytes += size
		return err
	})
	if err != nil {
		return nil, err
	}
	x.Item(job.Item, report.Files, report.Bytes)
	report.Findings, report.More = x.Findings()
	return report, nil
}

func examine(x *policy.Examination, root *os.Root, path string) (size int64, err error) {
	f, err := root.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	x.Name(path, info.Size())
	return info.Size(), x.File(path, f, info.Size())
}
