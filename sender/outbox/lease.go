package outbox

import (
	"errors"
	"fmt"

	"ecluse/internal/disk"
)

// leasesWork tries on a file of our own whether the file system tells writers: some grant a lease whoever writes.
func leasesWork(d *disk.Disk, dir string) error {
	f, err := d.CreateTemp(dir, ".lease-*")
	if err != nil {
		return fmt.Errorf("try a lease: %w", err)
	}
	defer f.Close()
	defer d.Remove(f.Name())
	r, err := d.Open(f.Name())
	if err != nil {
		return fmt.Errorf("try a lease: %w", err)
	}
	defer r.Close()
	held, err := disk.WriterHolds(r.Fd())
	if err != nil {
		return fmt.Errorf("try a lease: %w", err)
	}
	if !held {
		return errors.New("try a lease: granted although a writer holds the file")
	}
	return nil
}
