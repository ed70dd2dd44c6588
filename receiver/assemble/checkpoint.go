package assemble

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// Tick looks after time: it says which bundles are damaged, forgets slices whose offer never came, and makes a checkpoint when one is due. An error is fatal.
func (a *Assembler) Tick() error {
	now := a.options.Passed()
	type damage struct {
		id bundle.ID
		m  Missing
	}
	var damaged []damage
	a.mu.Lock()
	for _, in := range a.bundles {
		rest := a.options.Idle
		if in.close == nil {
			rest *= 6
		}
		if now-in.touched < rest || len(in.busy) > 0 {
			continue
		}
		switch in.phase {
		case unknown:
			a.drop(in)
		case receiving:
			in.phase = idle
			in.shut()
			damaged = append(damaged, damage{in.id, in.missing()})
		}
	}
	a.mu.Unlock()
	slices.SortFunc(damaged, func(x, y damage) int { return bytes.Compare(x.id[:], y.id[:]) }) // the same events give the same acts
	for _, d := range damaged {
		a.options.Owner.Damaged(d.id, d.m)
	}
	if now-a.checkpointed < a.options.Checkpoint {
		return nil
	}
	a.checkpointed = now
	return a.checkpoint(false)
}

// missing says what the bundle lacks, under the lock.
func (in *incoming) missing() Missing {
	n, ok := in.chunks()
	if !ok {
		return Missing{Chunks: -1, Bytes: max(int64(in.offer.Bytes)-in.written, 0)}
	}
	content := int64(in.offer.Chunks) - int64(in.have.below(in.offer.Chunks))
	return Missing{Chunks: int(n) - in.have.count, Bytes: min(content*int64(in.offer.ChunkSize), int64(in.offer.Bytes))}
}

// keepable is one bundle's state as a checkpoint notes it.
type keepable struct {
	in       *incoming
	progress []byte
	offer    []byte
	close    []byte
}

// checkpoint makes the chunks that are written durable, and then notes them: first sync, then say so. Small bundles that come and go between two checkpoints
// cost nothing; with all, every bundle is noted, as when the room ends.
func (a *Assembler) checkpoint(all bool) error {
	list, err := a.collect(all)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := a.options.Disk.SyncAll(a.options.Dir); err != nil {
		err = fmt.Errorf("sync staged files: %w", err)
		a.options.Owner.Failed(bundle.ID{}, err, true)
		return err
	}
	var failed error
	for _, k := range list {
		failed = errors.Join(failed, a.note(k))
	}
	if failed != nil {
		a.options.Owner.Failed(bundle.ID{}, failed, false) // a full disk: the next checkpoint notes them
	}
	return nil
}

// collect takes a copy of what has to be noted.
func (a *Assembler) collect(all bool) ([]keepable, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	young := a.options.Passed() - a.options.Checkpoint/2
	var list []keepable
	for _, in := range a.bundles {
		if in.phase == unknown || in.phase == finishing && !all || !in.dirty && in.noted && in.ended == (in.close != nil) {
			continue
		}
		if !all && !in.noted && in.begun > young {
			continue
		}
		k := keepable{in: in, progress: in.have.append(nil)}
		var err error
		if !in.noted {
			k.offer, err = json.Marshal(noteOf(in))
		}
		if err == nil && in.close != nil && !in.ended {
			k.close, err = json.Marshal(in.close)
		}
		if err != nil {
			return nil, fmt.Errorf("note bundle %s: %w", in.id, err)
		}
		in.dirty = false
		list = append(list, k)
	}
	slices.SortFunc(list, func(x, y keepable) int { return bytes.Compare(x.in.id[:], y.in.id[:]) })
	return list, nil
}

// note writes one bundle's files.
func (a *Assembler) note(k keepable) error {
	dir := a.dir(k.in.id)
	err := a.options.Disk.MkdirAll(dir)
	put := func(name string, content []byte) {
		if err == nil && content != nil {
			err = a.options.Disk.Replace(filepath.Join(dir, name), content)
		}
	}
	put("close.json", k.close)
	put("progress", k.progress)
	put("offer.json", k.offer) // last: without it the directory means nothing
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		k.in.dirty = true
		return fmt.Errorf("note progress of %s: %w", k.in.id, err)
	}
	k.in.noted = true
	k.in.ended = k.in.ended || k.close != nil
	if k.in.gone { // it ended while this was written
		return a.options.Disk.RemoveAll(dir)
	}
	return nil
}

// offerNote is offer.json.
type offerNote struct {
	Source   Source
	Received time.Time
	Offer    record.Offer
}

func noteOf(in *incoming) offerNote {
	return offerNote{Source: in.source, Received: in.received.UTC(), Offer: *in.offer}
}

// Load takes up what an earlier life left: every bundle with a readable offer, with the chunks that were durable. Directories without one are removed. It is
// called before Run and Block; keep says which of the bundles are still wanted.
func (a *Assembler) Load(keep func(id bundle.ID, s Source, o *record.Offer, received time.Time) bool) error {
	names, err := a.options.Disk.ReadDir(a.options.Dir)
	if err != nil {
		return fmt.Errorf("read the staging directory: %w", err)
	}
	for _, name := range names {
		dir := filepath.Join(a.options.Dir, name)
		in, err := a.load(dir, name)
		if err != nil || !keep(in.id, in.source, in.offer, in.received) {
			if err := a.options.Disk.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove staging left over: %w", err)
			}
			continue
		}
		a.mu.Lock()
		a.bundles[in.id] = in
		a.finishIfWhole(in)
		a.mu.Unlock()
		if in.close != nil {
			a.options.Owner.Closed(in.source, in.close)
		}
	}
	return nil
}

// noteLimit bounds offer.json and close.json.
const noteLimit = 64 << 10

func (a *Assembler) load(dir, name string) (*incoming, error) {
	id, err := bundle.ParseID(name)
	if err != nil {
		return nil, err
	}
	var note offerNote
	if err := a.readJSON(filepath.Join(dir, "offer.json"), &note); err != nil {
		return nil, err
	}
	if note.Offer.Bundle != id {
		return nil, fmt.Errorf("offer.json is of bundle %s", note.Offer.Bundle)
	}
	in := &incoming{
		id: id, phase: receiving, source: note.Source, offer: &note.Offer, received: note.Received, begun: a.options.Passed(), touched: a.options.Passed(), noted: true,
		frames: make(map[uint32]*frame), busy: make(map[uint32]bool), dirs: make(map[uint32]bool),
	}
	var end record.Close
	if a.readJSON(filepath.Join(dir, "close.json"), &end) == nil {
		in.close, in.ended = &end, true
	}
	if text, err := a.options.Disk.ReadFile(filepath.Join(dir, "progress"), bundle.MaxChunks/8+64); err == nil {
		if b, err := parseBitmap(text); err == nil {
			in.have = b
		}
	}
	in.hashes = newHashes(note.Offer.Files, func(file uint32, at int64, b []byte) error { return a.readBack(id, file, at, b) })
	return in, nil
}

func (a *Assembler) readJSON(path string, into any) error {
	text, err := a.options.Disk.ReadFile(path, noteLimit)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
