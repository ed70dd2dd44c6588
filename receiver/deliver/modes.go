package deliver

import (
	"io/fs"

	"ecluse/protocol/bundle"
)

// fileMode gives a delivered file's permission bits: the owner's from the manifest, group's and others' from the destination's. Whoever may read what its owner may execute,
// may execute it too: a mode for all files cannot tell programs from data.
func (o *Options) fileMode(f bundle.File) fs.FileMode {
	mode := o.FileMode & 0o066
	if f.Mode&0o100 != 0 {
		mode |= mode & 0o044 >> 2
	}
	return mode | fs.FileMode(f.Mode&0o700)
}

// dirMode gives a delivered directory's permission bits.
func (o *Options) dirMode(d bundle.Dir) fs.FileMode {
	return o.DirMode&0o077 | fs.FileMode(d.Mode&0o700)
}
