package deliver

import (
	"context"

	"ecluse/internal/disk"
)

// Prepare makes an item ready to be renamed to its destination while it is staged still: job.Dir holds files/NAME, and all of its content was verified just now. Whoever moves it into
// quarantine notes the intent in the same durable step, and hands the job to Batch with Prepared: that saves a sync and a note between quarantine and destination.
//
// ok is false where the item would have to be copied, or where anything else is in the way: then Batch does all of it, and tells what is wrong. Nothing is durable before the caller's sync.
// What it does has no meaning without the intent, and can be done again.
func Prepare(ctx context.Context, disks *disk.Disk, job Job, o Options) (i Intent, ok bool) {
	if !job.Verified || !changeable(&job) {
		return Intent{}, false
	}
	o = o.withHook()
	d, err := openDestination(disks, o.Directory)
	if err != nil {
		return Intent{}, false
	}
	defer d.close()
	p := &parcel{Job: &job, b: &batch{o: &o, disk: disks, d: d, content: newContent(ctx, 0)}, out: new(Result)}
	if p.src, err = disks.OpenRoot(job.Dir); err != nil {
		return Intent{}, false
	}
	defer p.src.Close()
	if p.choose() != nil || p.move() != nil {
		return Intent{}, false
	}
	return p.intent(), true
}

// changeable says whether the owner of an item may read and write all of it, under the modes that it gets. After a kill the next life puts the item together again, under the modes that were
// set; others are left to Batch.
func changeable(j *Job) bool {
	for i := range j.Table.Dirs() {
		if j.Table.Dir(i).Mode&0o700 != 0o700 {
			return false
		}
	}
	for n := 1; n <= j.Table.Files(); n++ {
		if j.Table.File(n).Mode&0o600 != 0o600 {
			return false
		}
	}
	return true
}
