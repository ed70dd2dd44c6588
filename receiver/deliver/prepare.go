package deliver

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// errMustCopy says that the item cannot be moved: it stays in quarantine, or a rename could not make of it what a copy would be.
var errMustCopy = errors.New("deliver: it has to be copied")

// loosen opens again what an earlier attempt closed: modes are set before the rename, and some close a file to its owner. Few manifests hold such a mode, so this costs
// nothing as a rule. What is not there, CheckTree tells.
func (p *parcel) loosen() {
	for i := range p.Table.Dirs() {
		if d := p.Table.Dir(i); d.Mode != 0o700 {
			_ = p.src.Chmod(p.under(p.item(), d.Path), 0o700)
		}
	}
	for n := 1; n <= p.Table.Files(); n++ {
		if f := p.Table.File(n); f.Mode&0o400 == 0 {
			_ = p.src.Chmod(p.under(p.item(), f.Path), 0o600)
		}
	}
}

// move makes the item in quarantine ready to be renamed as it is: content checked, groups, modes and times set; directories last, the deepest first.
func (p *parcel) move() error {
	item, err := p.src.Lstat(p.item())
	if errors.Is(err, fs.ErrNotExist) {
		return mismatch("%q is missing", p.Name)
	}
	if err != nil {
		return fmt.Errorf("look at the item in quarantine: %w", err)
	}
	if p.b.o.Keep || stat(item).Dev != stat(p.b.d.info).Dev {
		return errMustCopy
	}
	p.inode = inode(item)
	if err := p.moveFiles(); err != nil {
		return err
	}
	p.b.step("files")
	for i := p.Table.Dirs() - 1; i >= 0; i-- {
		mode := p.b.o.dirMode(p.Table.Dir(i))
		if i == 0 && mode&0o200 == 0 {
			// A directory that gets another parent has its ".." rewritten: its owner needs to write to it until then.
			mode |= 0o200
			p.closing = true
		}
		if err := p.settle(p.src, p.item(), p.Table.Dir(i), mode); err != nil {
			return err
		}
	}
	p.b.step("directories")
	return nil
}

// moveApart is how many files of a bundle one goroutine takes at least.
const moveApart = 1000

// moveFiles does what moveFile does for all files. Those of a large tree that were read before are shared out: all that is left to do to them is calls of the system.
func (p *parcel) moveFiles() error {
	files := p.Table.Files()
	workers := max(1, min(runtime.GOMAXPROCS(0), files/moveApart))
	if !p.Verified {
		workers = 1
	}
	failed := make([]error, workers)
	var group sync.WaitGroup
	for i := range workers {
		from, to := 1+files*i/workers, files*(i+1)/workers
		group.Go(func() {
			dirs := p.src.Dirs()
			defer dirs.Close()
			for n := from; n <= to && failed[i] == nil; n++ {
				failed[i] = p.moveFile(dirs, p.Table.File(n))
			}
		})
	}
	group.Wait()
	return cmp.Or(failed...)
}

// moveFile checks one file where it is and gives it its group, mode and time.
func (p *parcel) moveFile(dirs *disk.Dirs, want bundle.File) error {
	f, info, err := openFile(dirs, p.under(p.item(), want.Path), want.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if stat(info).Nlink != 1 {
		return errMustCopy // a backup's hard link: whoever has it could write to what was delivered
	}
	if !p.Verified {
		if err := p.b.content.check(f, want); err != nil {
			return err
		}
	}
	if err := p.handOn(f, info); err != nil {
		return err
	}
	return p.finishFile(f, want)
}

// handOn gives what is moved the group that it would have if it had been created at the destination.
func (p *parcel) handOn(f *disk.File, info fs.FileInfo) error {
	gid := p.b.d.gid()
	if int(stat(info).Gid) == gid {
		return nil
	}
	err := f.Chown(-1, gid)
	if errors.Is(err, unix.EPERM) {
		return errMustCopy // we are not of that group, and what we create there would be all the same
	}
	return err
}

// finishFile sets a file's mode and time.
func (p *parcel) finishFile(f *disk.File, want bundle.File) error {
	err := f.Chmod(p.b.o.fileMode(want))
	if err == nil {
		err = f.SetMtime(want.Mtime)
	}
	if err == nil && p.b.thorough {
		err = p.sync(f)
	}
	return err
}

// sync makes one file or directory durable. When our own disk fails to, nobody knows what it holds, and the process has to end; a copy is thrown away.
func (p *parcel) sync(f *disk.File) error {
	err := f.Sync()
	if err != nil && !p.copied {
		return fmt.Errorf("%w: %w", ledger.ErrFatal, err)
	}
	return err
}

// settle sets the group, mode and time of one directory of the item, which stands below root as name for now.
func (p *parcel) settle(root *disk.Root, name string, want bundle.Dir, mode fs.FileMode) error {
	f, err := root.Open(p.under(name, want.Path))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && root == p.src {
		err = p.handOn(f, info)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.SetMtime(want.Mtime)
	}
	if err == nil && p.b.thorough {
		err = p.sync(f)
	}
	return err
}

// copy builds the item at the destination under its temporary name. Nobody else can look into it before it is whole.
func (p *parcel) copy() error {
	p.copied, p.closing = true, false
	for i := range p.Table.Dirs() {
		name := p.under(p.temp, p.Table.Dir(i).Path)
		if err := p.b.d.root.Mkdir(name, 0o700); err != nil {
			return fault(err, "make %q", name)
		}
	}
	p.b.step("directories")
	var done int64
	roomy := false
	room := func() error {
		if roomy {
			return nil
		}
		roomy = true
		return p.b.d.room(p.Table.Total() - done)
	}
	for n := 1; n <= p.Table.Files(); n++ {
		want := p.Table.File(n)
		if err := p.copyFile(want, room); err != nil {
			return err
		}
		done += want.Size
		p.b.step("file")
	}
	for i := p.Table.Dirs() - 1; i >= 0; i-- {
		d := p.Table.Dir(i)
		if err := p.settle(p.b.d.root, p.temp, d, p.b.o.dirMode(d)); err != nil {
			return fault(err, "set the mode of %q", d.Path)
		}
	}
	p.b.step("times")
	info, err := p.b.d.root.Lstat(p.temp)
	if err != nil {
		return fault(err, "look at %q", p.temp)
	}
	p.inode = inode(info)
	return nil
}

func (p *parcel) copyFile(want bundle.File, room func() error) error {
	from, _, err := openFile(p.dirs, filepath.Join(quarantine.FilesName, string(want.Path)), want.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := p.b.d.root.OpenFile(p.under(p.temp, want.Path), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault(err, "make %q", want.Path)
	}
	err = p.b.content.copy(from, to, want, room)
	if err == nil {
		err = fault(p.finishFile(to, want), "set the mode of %q", want.Path)
	}
	if failed := to.Close(); err == nil && failed != nil {
		err = fault(failed, "close %q", want.Path)
	}
	return err
}
