package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/quarantine"
)

// parcel is one job on its way. What it does is a row of steps, and between any two of them the process may be killed.
type parcel struct {
	*Job
	b   *batch
	out *Result

	src   *disk.Root // Dir, while it is prepared
	dirs  *disk.Dirs // below src
	temp  string     // its hidden name at the destination
	final string     // the name it is to get
	inode uint64     // of what is to be renamed

	copied  bool // it stands under temp; else it is still in quarantine
	noted   bool // an intent is, or may be, on record
	closing bool // its directory has to be open to its owner until it is renamed
	renamed bool // it stands under final, or did
	old     bool // what it replaced now stands where it came from
}

// item is where the item stands in the quarantined bundle.
func (p *parcel) item() string { return filepath.Join(quarantine.FilesName, p.Name) }

// isDir says whether the item is a directory; it is the first one of the table then.
func (p *parcel) isDir() bool { return p.Table.Dirs() > 0 }

// prepare makes the item ready to be renamed, or finds that it is, or was renamed.
func (p *parcel) prepare() (err error) {
	if err := p.b.content.ctx.Err(); err != nil {
		return err
	}
	p.temp = temporary(p.Name, p.ID)
	p.src, err = p.b.disk.OpenRoot(p.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = mismatch("the bundle is not in quarantine")
	}
	if err != nil {
		return err
	}
	defer p.src.Close()
	p.dirs = p.src.Dirs()
	defer func() { p.dirs.Close() }()
	p.b.step("open")
	if p.Previous != nil && p.Previous.Name != "" {
		if err := p.resume(); err != nil || p.renamed {
			return err
		}
		p.b.step("resume")
		if p.Prepared && p.asPrepared() {
			p.final, p.inode = p.Previous.Name, p.Previous.Inode
			p.b.d.taken[p.final] = true
			return nil
		}
	}
	if err := discard(p.b.d.root, p.temp); err != nil {
		return fault(err, "remove %q of an earlier attempt", p.temp)
	}
	p.b.step("leftovers")
	if err := p.choose(); err != nil {
		return err
	}
	p.loosen()
	if !p.Verified {
		if err := quarantine.CheckTree(p.src, quarantine.FilesName, p.Table); err != nil {
			return err
		}
	}
	if err := p.move(); !errors.Is(err, errMustCopy) {
		return err
	}
	p.loosen()
	return p.copy()
}

// resume decides what became of an earlier attempt's intent. What an intent names is never removed as long as the intent stands, so either it is still in its place, or it was
// renamed.
func (p *parcel) resume() error {
	waiting, err := p.waiting()
	if err != nil {
		return err // the intent stands, whatever it was
	}
	if waiting {
		p.noted = true
		if p.Previous.Moved {
			return nil // nothing will be removed that it names: another intent takes its place
		}
		return p.withdraw()
	}
	final, err := p.b.d.root.Lstat(p.Previous.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault(err, "look at %q", p.Previous.Name)
	}
	there := err == nil && inode(final) == p.Previous.Inode
	p.renamed, p.final, p.inode = true, p.Previous.Name, p.Previous.Inode
	p.closing = there && p.isDir() && p.b.o.dirMode(p.Table.Dir(0))&0o200 == 0
	p.out.Resumed, p.out.Taken = true, !there
	p.copied, p.old = !p.Previous.Moved, true // or nothing was replaced; clear finds out
	return nil
}

// waiting says whether what the intent names is still where it was to be taken from.
func (p *parcel) waiting() (bool, error) {
	if !p.Previous.Moved {
		temp, err := p.b.d.root.Lstat(p.temp)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fault(err, "look at %q", p.temp)
		}
		return err == nil && inode(temp) == p.Previous.Inode, nil
	}
	item, err := p.src.Lstat(p.item())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil // it was moved: nobody else takes anything out of quarantine
	case err != nil:
		return false, fmt.Errorf("look at the item in quarantine: %w", err)
	case inode(item) == p.Previous.Inode:
		return true, nil
	}
	return p.intact() // what it replaced stands there; or the item, in a state that was copied to another place
}

// intact says whether what stands in quarantine is the item, by its content.
func (p *parcel) intact() (bool, error) {
	p.loosen()
	err := quarantine.CheckTree(p.src, quarantine.FilesName, p.Table)
	for n := 1; err == nil && n <= p.Table.Files(); n++ {
		want := p.Table.File(n)
		var f *disk.File
		if f, _, err = openFile(p.dirs, p.under(p.item(), want.Path), want.Path); err == nil {
			err = errors.Join(p.b.content.check(f, want), f.Close())
		}
	}
	if _, wrong := bundle.ReasonOf(err); wrong {
		return false, nil
	}
	return err == nil, err
}

// asPrepared says whether nobody has given a file of the item a second name, or another group than it would get, since it was prepared.
func (p *parcel) asPrepared() bool {
	gid := p.b.d.gid()
	for n := 1; n <= p.Table.Files(); n++ {
		var st unix.Stat_t
		if err := p.dirs.Lstat(p.under(p.item(), p.Table.File(n).Path), &st); err != nil || st.Nlink != 1 || int(st.Gid) != gid {
			return false
		}
	}
	for i := range p.Table.Dirs() {
		var st unix.Stat_t
		if err := p.dirs.Lstat(p.under(p.item(), p.Table.Dir(i).Path), &st); err != nil || int(st.Gid) != gid {
			return false
		}
	}
	return true
}

// withdraw takes the intent back.
func (p *parcel) withdraw() error {
	if err := p.b.tell(Intent{ID: p.ID}); err != nil {
		return notWithdrawn(p.ID, err)
	}
	p.noted = false
	return nil
}

// choose picks the final name.
func (p *parcel) choose() error {
	for i := range candidatesMost {
		name := candidate(p.Name, p.Sequence, i)
		free, err := p.b.d.free(name)
		if err != nil {
			return err
		}
		if free || p.b.o.Clash == Replace && !reserved(name) {
			p.final = name
			p.b.d.taken[name] = true
			return nil
		}
		if p.b.o.Clash != KeepBoth {
			break
		}
	}
	return &Failure{Reason: bundle.ReasonClash, Text: fmt.Sprintf("the name %q is taken", p.Name)}
}

// where is the open directory and the name from which the item is renamed. Nothing but this process changes the quarantine, so its path is taken as it is.
func (p *parcel) where() (*disk.File, string, error) {
	if p.copied {
		return p.b.d.dir, p.temp, nil
	}
	dir, err := p.b.disk.OpenFile(filepath.Join(p.Dir, quarantine.FilesName), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	return dir, p.Name, err
}

// renameTries bounds how often a name is chosen anew because somebody else was quicker.
const renameTries = 8

// rename gives the item its final name.
func (p *parcel) rename() error {
	for range renameTries {
		dir, name, err := p.where()
		if err != nil {
			return fmt.Errorf("open the bundle in quarantine: %w", err)
		}
		if err := p.b.o.May(); err != nil {
			if !p.copied {
				dir.Close()
			}
			return fmt.Errorf("bundle %s: %w", p.ID, err)
		}
		err = p.put(dir, name)
		if !p.copied {
			dir.Close()
		}
		switch {
		case err == nil:
			p.renamed = true
			p.b.step("renamed")
			return nil
		case errors.Is(err, unix.EXDEV) && !p.copied: // one device, and still two file systems to rename: a bind mount
			err = p.copyAfterAll()
		case p.outrun(err):
			err = p.choose()
		default:
			return fault(err, "rename to %q", p.final)
		}
		if err == nil {
			err = p.b.d.still()
		}
		if err == nil {
			err = p.announce()
		}
		if err != nil {
			return err
		}
	}
	return unfit("its name is taken each time before it can be used")
}

// outrun says that a rename failed because somebody else changed what stands under the name since it was looked at.
func (p *parcel) outrun(err error) bool {
	if p.b.o.Clash == Replace && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTDIR)) {
		return true
	}
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY)
}

func (p *parcel) copyAfterAll() error {
	src, err := p.b.disk.OpenRoot(p.Dir)
	if err != nil {
		return err
	}
	defer src.Close()
	p.src, p.dirs = src, src.Dirs()
	defer p.dirs.Close()
	p.loosen()
	if err := p.copy(); err != nil {
		return err
	}
	return fault(p.b.d.dir.SyncSystem(), "sync")
}

// put renames, once. Where something is replaced it is for an instant neither absent nor half: a file by a rename, all else by an exchange of both names.
func (p *parcel) put(dir *disk.File, name string) error {
	to := p.b.d.dir
	if p.b.o.Clash != Replace {
		return p.b.renameNew(dir, name, to, p.final)
	}
	info, err := p.b.d.root.Lstat(p.final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.b.renameNew(dir, name, to, p.final)
	case err != nil:
		return err
	case !info.IsDir() && !p.isDir():
		return p.b.disk.Renameat2(dir.Fd(), name, to.Fd(), p.final, 0)
	}
	err = p.b.exchange(dir, name, to, p.final)
	p.old = err == nil
	return err
}

// announce has the intent made durable.
func (p *parcel) announce() error {
	return p.announced(p.b.tell(p.intent()))
}

func (p *parcel) intent() Intent {
	return Intent{ID: p.ID, Final: p.final, Inode: p.inode, Moved: !p.copied}
}

// told says whether the intent is on record already.
func (p *parcel) told() bool {
	r := p.Previous
	return p.noted && r != nil && r.Name == p.final && r.Inode == p.inode && r.Moved == !p.copied
}

func (p *parcel) announced(err error) error {
	p.noted = p.noted || !errors.Is(err, ErrNotNoted) // unless it is certain, it may be on record
	if err != nil {
		return fmt.Errorf("note the intent for %s: %w", p.ID, err)
	}
	return nil
}

// finish gives a directory that its owner may not write to its mode: moved to another parent, it had to be writable.
func (p *parcel) finish() error {
	if !p.closing {
		return nil
	}
	f, err := p.b.d.root.Open(p.final)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // taken already
	}
	if err != nil {
		return fault(err, "open %q", p.final)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || inode(info) != p.inode {
		return err
	}
	d := p.Table.Dir(0)
	err = f.Chmod(p.b.o.dirMode(d))
	if err == nil {
		err = f.SetMtime(d.Mtime)
	}
	if err == nil {
		err = p.sync(f)
	}
	return fault(err, "set the mode of %q", p.final)
}

// clear removes what was replaced.
func (p *parcel) clear() {
	if !p.old {
		return
	}
	root, name := p.b.d.root, p.temp
	if !p.copied {
		src, err := p.b.disk.OpenRoot(p.Dir)
		if err != nil {
			p.out.Left = err.Error()
			return
		}
		defer src.Close()
		root, name = src, p.item()
	}
	err := discard(root, name)
	if err != nil {
		err = discard(root, name) // nobody comes back for it: an error that passes leaves nothing behind
	}
	if err != nil {
		p.out.Left = fmt.Sprintf("what %q replaced could not be removed from %q: %v", p.final, name, err)
	}
	p.b.step("cleared")
}

// giveUp removes what this attempt has made. A temporary that an intent may name stays until that is taken back, which the next attempt does: without it, the next would take what the
// intent names for delivered, and taken by somebody.
func (p *parcel) giveUp(cause error) {
	p.out.Err = cause
	if p.renamed {
		return // the intent stands: the next attempt finds it done
	}
	delete(p.b.d.taken, p.final)
	if src, err := p.b.disk.OpenRoot(p.Dir); err == nil {
		p.src = src
		p.loosen()
		src.Close()
	}
	if p.noted {
		if err := p.withdraw(); err != nil && !errors.Is(err, ErrOver) {
			p.out.Err = errors.Join(cause, err)
			return
		}
	}
	if p.temp == "" || !p.copied {
		return
	}
	if err := discard(p.b.d.root, p.temp); err != nil {
		p.out.Err = errors.Join(cause, fmt.Errorf("remove %q: %w", p.temp, err))
	}
}

// under gives a manifest's path below the name that the item has for now.
func (p *parcel) under(name string, path bundle.Path) string {
	return name + strings.TrimPrefix(string(path), p.Name)
}
