package deliver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// What cannot be moved as it is, or what its owner could not put together again, is not made ready: the delivery does all of it, and tells what is wrong.
func TestOnlyWhatWillBeMovedIsMadeReady(t *testing.T) {
	for name, row := range map[string]struct {
		items   func() []entry
		options func(p *place, o *Options)
		change  func(p *place)
		apart   bool
		ready   bool
	}{
		"a tree":                     {items: willing, ready: true},
		"content that was not read":  {items: willing, change: func(p *place) { p.job.Verified = false }},
		"a file that closes":         {items: tree},
		"a directory that closes":    {items: twig},
		"to another file system":     {items: willing, apart: true},
		"what has to stay as well":   {items: willing, options: func(_ *place, o *Options) { o.Keep = true }},
		"no destination":             {items: willing, options: func(p *place, o *Options) { o.Directory = p.to + "-not" }},
		"a name that is taken":       {items: willing, options: func(p *place, o *Options) { o.Clash = Refuse; must(t, os.Mkdir(filepath.Join(p.to, "item"), 0o700)) }},
		"a file with a second name":  {items: willing, change: func(p *place) { at := filepath.Join(p.job.Dir, "files/item/a"); must(t, os.Link(at, p.to+"-link")) }},
		"a file that is not there":   {items: willing, change: func(p *place) { must(t, os.Remove(filepath.Join(p.job.Dir, "files/item/a"))) }},
		"a bundle that is not there": {items: willing, change: func(p *place) { p.job.Dir += "-not" }},
		"a file, where a link stands": {items: file, change: func(p *place) {
			at := filepath.Join(p.job.Dir, "files/item")
			must(t, os.Remove(at))
			must(t, os.Symlink("/etc/hosts", at))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			make := here
			if row.apart {
				make = apart
			}
			p := make(t, row.items())
			p.job.Verified = true
			o := p.options()
			if row.options != nil {
				row.options(p, &o)
			}
			if row.change != nil {
				row.change(p)
			}
			intent, ok := Ready(context.Background(), disk.New(), p.job, o)
			if ok != row.ready || ok && intent.Final != "item" {
				t.Errorf("ready %v, %+v", ok, intent)
			}
		})
	}
}

// What stands ready is renamed, and nothing else is done to it: no second note, no sync of its own.
func TestWhatIsReadyIsOnlyRenamed(t *testing.T) {
	p := here(t, willing())
	p.ready = true
	o := p.options()
	var notes int
	p.book.step = func(string) { notes++ }
	out, err := p.deliver(o)
	if err != nil || out.Final != "item" || out.Resumed || notes != 2 {
		t.Fatalf("%+v, %v, %d steps of notes", out, err, notes)
	}
	same(t, look(t, p.to), p.want("item", o))
}

// A name that somebody takes after the intent was noted is not replaced, and an intent that is not carried out is taken back.
func TestWhatIsReadyAndCannotBeRenamed(t *testing.T) {
	for _, clash := range []Clash{KeepBoth, Refuse} {
		p := here(t, willing())
		p.ready = true
		o := p.options()
		o.Clash = clash
		p.book.step = func(step string) {
			if step == "after the intent is durable" && len(top(t, p.to)) == 0 {
				must(t, os.Mkdir(filepath.Join(p.to, "item"), 0o755))
			}
		}
		out, err := p.deliver(o)
		switch intent := p.book.read(t); {
		case clash == KeepBoth:
			if err != nil || out.Final != "item~7" || intent.Name != "item~7" {
				t.Errorf("got %+v, %v, on record %+v", out, err, intent)
			}
		case intent.Name != "":
			t.Errorf("the intent stands: %+v", intent)
		default:
			reasonIs(t, err, bundle.ReasonClash)
		}
	}
	var failed *Failure
	p := here(t, willing())
	p.ready = true
	p.book.step = func(step string) {
		if step == "after the intent is durable" {
			_ = os.Rename(p.to, p.to+"-away")
		}
	}
	if _, err := p.deliver(p.options()); !errors.As(err, &failed) || failed.Reason != bundle.ReasonDestination {
		t.Errorf("without a destination: %v", err)
	}
	if intent := p.book.read(t); intent.Name != "" {
		t.Errorf("without a destination, and nobody can reject it: %+v", intent)
	}
}
