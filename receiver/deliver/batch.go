package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// thoroughMost is up to how many files and directories of a single bundle are synced one by one. Above, and for several bundles, one sync of the whole file system costs less.
const thoroughMost = 16

// batch is a number of jobs for one destination, which share each sync. One goroutine owns it.
type batch struct {
	o        *Options
	disk     *disk.Disk
	d        *destination
	content  *content
	note     Note
	thorough bool // each file and directory is synced by itself
	parcels  []*parcel
}

// Batch delivers bundles to one destination, in their order, with one sync before the renames, one call of note for all intents, and one sync after; what is Prepared has had the first two. Where there is no destination, intents of
// what was never moved are taken back. Each has its own result, in the
// order of jobs: what becomes of one has no part in another. Where its Err is nil the item stands under Outcome.Final, durably.
func Batch(ctx context.Context, disks *disk.Disk, jobs []Job, o Options, note Note) []Result {
	results := make([]Result, len(jobs))
	o = o.withHook()
	d, err := openDestination(disks, o.Directory)
	if err != nil {
		for i := range results {
			results[i].Err = err
		}
		for i, err := range Withdraw(disks, jobs, note) {
			results[i].Err = errors.Join(results[i].Err, err)
		}
		return results
	}
	defer d.close()
	b := &batch{o: &o, disk: disks, d: d, note: note, parcels: make([]*parcel, len(jobs))}
	largest := int64(0)
	for i := range jobs {
		b.parcels[i] = &parcel{Job: &jobs[i], b: b, out: &results[i]}
		largest = max(largest, jobs[i].Table.Total())
	}
	b.content = newContent(ctx, largest)
	b.thorough = len(jobs) == 1 && jobs[0].Table.Files()+jobs[0].Table.Dirs() <= thoroughMost
	b.run()
	return results
}

// Withdraw takes back the intents of what was never moved, and gives for each job why it could not: nobody can reject a bundle that may be at a destination already. An intent for a copy
// stands: its temporary is at the destination. What cannot be taken back stands as well, and the next attempt looks again.
func Withdraw(disks *disk.Disk, jobs []Job, note Note) []error {
	errs := make([]error, len(jobs))
	var intents []Intent
	var at []int
	for i, j := range jobs {
		if j.Previous == nil || j.Previous.Name == "" || !j.Previous.Moved {
			continue
		}
		item, err := disks.Lstat(filepath.Join(j.Dir, quarantine.FilesName, j.Name))
		if err == nil && inode(item) == j.Previous.Inode {
			intents, at = append(intents, Intent{ID: j.ID}), append(at, i)
		}
	}
	if len(intents) == 0 {
		return errs
	}
	for n, err := range note(intents) {
		if err != nil && !errors.Is(err, ErrOver) {
			errs[at[n]] = notWithdrawn(intents[n].ID, err)
		}
	}
	return errs
}

func notWithdrawn(id bundle.ID, err error) error {
	return fmt.Errorf("take back the intent for %s: %w", id, err)
}

func (b *batch) step(name string) { b.o.hook(name) }

func (b *batch) run() {
	b.each(b.alive, (*parcel).prepare)
	b.step("prepared")
	b.flush()
	b.step("synced")
	b.announce()
	b.step("noted")
	b.each(b.waiting, (*parcel).rename)
	b.each(b.delivered, (*parcel).finish)
	b.step("finished")
	b.settle()
	b.step("settled")
	for _, p := range b.parcels {
		if b.delivered(p) {
			p.out.Final, p.out.Copied = p.final, p.copied
			p.clear()
		}
	}
}

func (b *batch) alive(p *parcel) bool     { return p.out.Err == nil }
func (b *batch) waiting(p *parcel) bool   { return b.alive(p) && !p.renamed }
func (b *batch) delivered(p *parcel) bool { return b.alive(p) && p.renamed }

// each does one step for all parcels that are due. One that fails is given up.
func (b *batch) each(due func(*parcel) bool, do func(*parcel) error) {
	for _, p := range b.parcels {
		if !due(p) {
			continue
		}
		if err := do(p); err != nil {
			p.giveUp(err)
		}
	}
}

// flush makes durable what is about to be renamed, and looks a last time whether the destination is the one that was opened.
func (b *batch) flush() {
	err := b.sync()
	if err == nil {
		err = b.d.still()
	}
	if err == nil {
		return
	}
	for _, p := range b.parcels {
		if b.waiting(p) {
			p.giveUp(fault(err, "sync"))
		}
	}
}

// sync is never tried again: after a failure a copy is thrown away, and where something was to be moved, which is on our own disk, the process has to end.
func (b *batch) sync() error {
	copied, moved := false, false
	for _, p := range b.parcels {
		copied = copied || b.waiting(p) && p.copied
		moved = moved || b.waiting(p) && !p.copied && !p.Prepared
	}
	var err error
	switch {
	case skipSync:
	case !b.thorough && (copied || moved):
		err = b.d.dir.SyncSystem()
	case copied:
		err = b.d.dir.Sync() // the temporary's name; its content was synced as it was written
	}
	if err != nil && moved {
		return fmt.Errorf("%w: sync before delivery: %w", ledger.ErrFatal, err)
	}
	return err
}

// announce has all intents made durable at once.
func (b *batch) announce() {
	var intents []Intent
	var parcels []*parcel
	for _, p := range b.parcels {
		if b.waiting(p) && !p.told() {
			intents = append(intents, p.intent())
			parcels = append(parcels, p)
		}
	}
	if len(intents) == 0 {
		return
	}
	errs := b.note(intents)
	for i, p := range parcels {
		var err error
		if i < len(errs) {
			err = errs[i]
		}
		if err := p.announced(err); err != nil {
			p.giveUp(err)
		}
	}
}

// tell has one intent made durable.
func (b *batch) tell(i Intent) error { return errors.Join(b.note([]Intent{i})...) }

// settle makes the renames durable. When that fails nobody knows what the disk holds: the intents stand, and the next life looks.
func (b *batch) settle() {
	any := false
	for _, p := range b.parcels {
		any = any || b.delivered(p)
	}
	if !any {
		return
	}
	if err := b.d.dir.Sync(); err != nil {
		for _, p := range b.parcels {
			if b.delivered(p) {
				p.giveUp(fmt.Errorf("%w: sync of %s: %w", ledger.ErrFatal, b.d.path, err))
			}
		}
	}
}

// Purge removes a quarantined bundle, whatever the modes of what is left in it. Only what the ledger calls imported, rejected or refused is purged. It is no error when nothing is
// there.
func Purge(d *disk.Disk, dir string) error {
	parent, err := d.OpenRoot(filepath.Dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	defer parent.Close()
	if err := discard(parent, filepath.Base(dir)); err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}
