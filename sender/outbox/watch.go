package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Watch offers every item that is whole, until ctx ends; it returns when all its goroutines have. An item is offered once, and again only after its Claim failed, or when
// nobody has claimed it for a minute. When nobody takes from found, offers wait and nothing is lost.
//
//	inotify --> \                     /--> two goroutines that look
//	listing -->  followers (this one) <--/
//	Claim   --> /                     \--> found
func (b *Outbox) Watch(ctx context.Context, found chan<- Candidate) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watcher{
		b: b, ctx: ctx, found: found,
		moved: make(chan *follow), calm: make(chan *follow), seen: make(chan sight),
	}
	w.f = newFollowers(waits{b.o.Settle, b.o.Blind}, b.writeReason, b.removeReason)
	// What was moved here waits for no tree of others that only settles: it is looked at by a goroutine of its own.
	w.group.Go(func() { w.lookers(w.moved) })
	w.group.Go(func() { w.lookers(w.calm) })
	w.run()
	cancel()
	w.unwatch()
	w.group.Wait()
}

// watcher is one Watch. Its goroutine owns everything but what the channels carry.
type watcher struct {
	b     *Outbox
	ctx   context.Context
	found chan<- Candidate
	f     *followers
	group sync.WaitGroup

	moved, calm chan *follow // items to look at
	seen        chan sight
	busyMoved   []*follow
	busyCalm    []*follow

	notifier *notifier
	watching inode // the directory that is watched
	missing  bool  // the outbox is gone, and that has been reported
	noWatch  bool  // inotify does not work, and that has been reported
	full     bool  // more items than are followed, and that has been reported
	rescan   time.Time
}

// sight is the result of a look.
type sight struct {
	item *follow
	look look
	at   time.Time // when it began
}

// lookers looks at one item after the other.
func (w *watcher) lookers(items <-chan *follow) {
	for {
		select {
		case it := <-items:
			at := w.b.o.Now()
			s := sight{it, lookAt(w.b.o.Disk, w.b.o.Dir, it.name, it.probe, it.still.moved, w.b.blind, w.b.o.Now), at}
			select {
			case w.seen <- s:
			case <-w.ctx.Done():
				return
			}
		case <-w.ctx.Done():
			return
		}
	}
}

func (w *watcher) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for w.ctx.Err() == nil {
		now := w.b.o.Now()
		if !now.Before(w.rescan) {
			w.scan(now)
		}
		next, queued := w.f.tick(now)
		if !queued || w.rescan.Before(next) {
			next = w.rescan
		}
		w.sort()
		timer.Reset(max(next.Sub(now), 0))
		w.wait(timer.C)
	}
}

// sort gives the items that are to be looked at to the goroutine for each kind.
func (w *watcher) sort() {
	for _, it := range w.f.looks {
		if it.still.moved {
			w.busyMoved = append(w.busyMoved, it)
		} else {
			w.busyCalm = append(w.busyCalm, it)
		}
	}
	w.f.looks = w.f.looks[:0]
}

// wait waits for one thing to happen, and takes it in.
func (w *watcher) wait(timer <-chan time.Time) {
	moved, nextMoved := headOf(w.busyMoved, w.moved)
	calm, nextCalm := headOf(w.busyCalm, w.calm)
	var found chan<- Candidate
	var offer Candidate
	if len(w.f.offers) > 0 {
		found, offer = w.found, Candidate{Name: w.f.offers[0].name, bytes: w.f.offers[0].bytes, inode: w.f.offers[0].inode}
	}
	var events <-chan []event
	if w.notifier != nil {
		events = w.notifier.events
	}
	select {
	case batch, open := <-events:
		w.events(batch, open)
	case s := <-w.seen:
		w.f.looked(s.item, s.look, s.at)
	case moved <- nextMoved:
		w.busyMoved = w.busyMoved[1:]
	case calm <- nextCalm:
		w.busyCalm = w.busyCalm[1:]
	case found <- offer:
		w.f.offered(w.b.o.Now())
	case <-w.b.wake:
		for _, o := range w.b.takeOutcomes() {
			w.f.claimed(o, w.b.o.Now())
		}
	case <-timer:
	case <-w.ctx.Done():
	}
}

// headOf gives the first of a list and where to send it, or a channel that takes nothing.
func headOf(list []*follow, to chan<- *follow) (chan<- *follow, *follow) {
	if len(list) == 0 {
		return nil, nil
	}
	return to, list[0]
}

func (b *Outbox) takeOutcomes() []outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.outcomes
	b.outcomes = nil
	return list
}

func (w *watcher) events(batch []event, open bool) {
	now := w.b.o.Now()
	for _, e := range batch {
		switch e.kind {
		case eventOverflow:
			w.b.o.Report(Notice{Kind: NoticeOverflow, Name: w.b.o.Dir})
			w.rescan = now
		case eventEnd:
			w.watching = inode{}
			w.rescan = now
		default:
			w.f.happened(e, now)
		}
	}
	if !open {
		w.unwatch()
		w.rescan = now
	}
}

// scan reads the whole listing. It holds only what is not claimed: what waits to be sent is out of it.
func (w *watcher) scan(now time.Time) {
	w.rescan = now.Add(w.b.o.Rescan)
	if !w.attend() {
		return
	}
	d, err := w.b.o.Disk.Open(w.b.o.Dir)
	if err != nil {
		w.unread(err)
		return
	}
	defer d.Close()
	w.f.startScan()
	var reasons []string
	for {
		names, err := d.Readdirnames(lookBatch)
		for _, n := range names {
			switch {
			case isReason(n):
				reasons = append(reasons, n)
			case !leftAlone(n):
				w.f.listed(n, now)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.unread(err)
			return
		}
	}
	w.f.endScan()
	w.orphans(reasons)
	if w.f.cut {
		w.rescan = now.Add(min(w.b.o.Rescan, time.Second))
	}
	if w.f.cut && !w.full {
		w.b.o.Report(Notice{Kind: NoticeFull, Name: w.b.o.Dir})
	}
	w.full = w.f.cut
}

// unread says why nothing was seen this time. Whoever is told bounds how often.
func (w *watcher) unread(err error) {
	w.b.o.Report(Notice{Kind: NoticeUnread, Name: w.b.o.Dir, Err: err})
}

// orphans removes reasons whose items are gone: an earlier life may have left some.
func (w *watcher) orphans(reasons []string) {
	if len(reasons) == 0 || w.f.cut {
		return
	}
	wanted := make(map[string]bool, len(w.f.items))
	for name := range w.f.items {
		wanted[reasonName(name)] = true
	}
	for _, r := range reasons {
		if !wanted[r] {
			if err := w.b.o.Disk.Remove(w.b.path(r)); err != nil && !errors.Is(err, os.ErrNotExist) {
				w.b.o.Report(Notice{Kind: NoticePurge, Name: r, Err: err})
			}
		}
	}
}

// attend sees to it that the directory that stands there is prepared and watched; it is false while there is none.
func (w *watcher) attend() bool {
	var st unix.Stat_t
	if err := w.b.o.Disk.Fstatat(unix.AT_FDCWD, w.b.o.Dir, &st, 0); err != nil {
		if !w.missing {
			w.b.o.Report(Notice{Kind: NoticeGone, Name: w.b.o.Dir, Err: err})
		}
		w.missing = true
		w.unwatch()
		return false
	}
	here := inode{st.Dev, st.Ino}
	if !w.missing && w.b.o.Disk.Fstatat(unix.AT_FDCWD, w.b.house(sendingName), new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW) != nil {
		w.missing = true // another directory stands there, or somebody has removed what is ours
	}
	if w.missing {
		if err := w.b.prepare(); err != nil {
			w.unread(fmt.Errorf("make the places in it: %w (a directory that was mounted or made after the start may be out of the daemon's reach: restart it)", err))
			return false
		}
		w.missing = false
		w.b.o.Report(Notice{Kind: NoticeBack, Name: w.b.o.Dir})
	}
	if !w.b.o.Unwatched && (w.notifier == nil || w.watching != here) {
		w.watch(here)
	}
	return true
}

func (w *watcher) watch(here inode) {
	w.unwatch()
	n, err := notify(w.b.o.Dir)
	if err != nil {
		if !w.noWatch {
			w.b.o.Report(Notice{Kind: NoticeNoWatch, Name: w.b.o.Dir, Err: err})
		}
		w.noWatch = true
		return
	}
	w.noWatch = false
	w.notifier, w.watching = n, here
	w.group.Go(func() { n.run(w.ctx.Done()) })
}

// unwatch ends the present watch. Its goroutine may be handing over a batch: what nobody will take is drained.
func (w *watcher) unwatch() {
	if w.notifier == nil {
		return
	}
	if err := w.notifier.close(); err != nil {
		w.b.o.Report(Notice{Kind: NoticeNoWatch, Name: w.b.o.Dir, Err: err})
	}
	for range w.notifier.events {
	}
	w.notifier, w.watching = nil, inode{}
}
