package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	destinationsEvery = 5 * time.Second
	destinationsMost  = 30 * time.Second // one that has not answered for so long hangs
)

// watchDestinations looks whether what is released would have somewhere to go, before the first delivery finds out. One that hangs holds up this alone.
func (d *daemon) watchDestinations(ctx context.Context) error {
	looked := make(chan struct{}, 1)
	look := func() {
		for _, t := range d.c.Tenants {
			for _, v := range t.Deliver {
				if v.Directory == "" {
					continue
				}
				d.setDestination(v.Directory, errors.New("it does not answer"), time.Now().Add(destinationsMost))
				info, err := os.Stat(v.Directory)
				if err == nil && !info.IsDir() {
					err = errors.New("it is no directory")
				}
				d.setDestination(v.Directory, err, time.Time{})
			}
		}
		looked <- struct{}{}
	}
	for {
		go look() // a file system that hangs cannot be called off; it ends with it, or with the process
		select {
		case <-looked:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(destinationsEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// lack is why nothing can be delivered to a directory, and from when on that counts.
type lack struct {
	why  error
	from time.Time
}

func (d *daemon) setDestination(dir string, why error, from time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if was, ok := d.lacks[dir]; ok && was.why != nil && was.from.IsZero() && !from.IsZero() {
		return // it stays what it was until it has answered
	}
	d.lacks[dir] = lack{why, from}
}

// unreachable are the destinations to which nothing can be delivered, and why.
func (d *daemon) unreachable() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make(map[string]string)
	for dir, l := range d.lacks {
		if l.why != nil && time.Now().After(l.from) {
			why := l.why.Error()
			if errors.Is(l.why, os.ErrNotExist) {
				why = "it is not there (is its disk mounted?)"
			}
			list[dir] = fmt.Sprintf("%s: nothing can be delivered there: %s", dir, why)
		}
	}
	return list
}
