package cli

import "golang.org/x/sys/unix"

// Stamp is what a file looked like: whoever edits it changes at least one of these.
type Stamp struct {
	inode   uint64
	size    int64
	changed unix.Timespec
}

// StampOf looks at a file; what is not there has the zero Stamp.
func StampOf(path string) Stamp {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return Stamp{}
	}
	return Stamp{st.Ino, st.Size, st.Ctim}
}
