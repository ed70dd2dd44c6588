package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ecluse/internal/alarm"
	"ecluse/protocol/bundle"
)

// Book is what is known of all routes of a state. Its methods may be called from several goroutines; Closed waits for no disk.
type Book struct {
	files Files
	state string

	writing sync.Mutex // one word at a time: held over the disk

	mu      sync.Mutex
	facts   map[bundle.Name]Facts
	words   map[bundle.Name]Word
	damaged error // why nobody knows who is stopped
}

// Open takes up what was said in earlier lives. What cannot be read, and not when it is tried once more, stops everybody: see Fault.
func Open(files Files, state string, facts map[bundle.Name]Facts) *Book {
	words, damaged := Read(files, state)
	if damaged != nil { // a medium that failed once is no reason to stop everybody until somebody comes
		words, damaged = Read(files, state)
	}
	b := Of(words, damaged, facts)
	b.files, b.state = files, state
	return b
}

// Of is a Book that only answers, of what Read has given.
func Of(words map[bundle.Name]Word, damaged error, facts map[bundle.Name]Facts) *Book {
	return &Book{facts: facts, words: words, damaged: damaged}
}

// Set takes what a configuration says that was read again. A tenant that stands there no more is one of the house's until its next start: nothing of it goes through.
func (b *Book) Set(facts map[bundle.Name]Facts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := maps.Clone(facts)
	if now == nil {
		now = make(map[bundle.Name]Facts)
	}
	for name := range b.facts {
		if _, stays := now[name]; !stays {
			now[name] = Facts{gone: true}
		}
	}
	b.facts = now
}

// Fault is why the file of earlier words cannot be read, or nil.
func (b *Book) Fault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.damaged
}

// Closed says why nothing of a tenant goes through: a *bundle.Rejection; nil where its route is open. now is by a clock that never runs back.
func (b *Book) Closed(tenant bundle.Name, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	facts, all, one := b.facts[tenant], b.words[All], b.words[tenant]
	switch {
	case b.damaged != nil:
		return bundle.Reject(bundle.ReasonRouteStopped, "G-2", "nobody knows who is stopped, so everybody is: %v", b.damaged)
	case all.Stopped:
		return bundle.Reject(bundle.ReasonRouteStopped, "G-2", "all tenants are stopped, %s", all.by())
	case one.Stopped && tenant != All:
		return bundle.Reject(bundle.ReasonRouteStopped, "G-2", "tenant %s is stopped, %s", tenant, one.by())
	case facts.gone:
		return bundle.Reject(bundle.ReasonRouteStopped, "G-2", "tenant %s stands in the configuration no more", tenant)
	case facts.Disabled:
		return bundle.Reject(bundle.ReasonRouteStopped, "G-2", "tenant %s is not enabled: enabled: false in the configuration", tenant)
	case facts.expired(now):
		return bundle.Reject(bundle.ReasonRouteExpired, "G-2", "the route of tenant %s ended with %s", tenant, facts.Expires)
	}
	return nil
}

// Word is the latest that was said of a tenant, or of all; false where nobody ever has.
func (b *Book) Word(tenant bundle.Name) (Word, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.words[tenant]
	return w, ok
}

// Words are all of them.
func (b *Book) Words() []Word {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []Word{}
	for _, name := range slices.Sorted(maps.Keys(b.words)) {
		list = append(list, b.words[name])
	}
	return list
}

// NotStopped is what Start says where there is nothing to lift.
type NotStopped struct{ Text string }

func (e *NotStopped) Error() string { return e.Text }

// Stop closes a route, or all of them. It holds at once, also where an error says that it will not outlive this process. One that is stopped already stays stopped by who has stopped it,
// which is what Stop returns then.
func (b *Book) Stop(w Word) (Word, error) {
	w.Stopped, w.At = true, w.At.UTC()
	if err := w.check(); err != nil {
		return w, err
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	if have := b.words[w.Tenant]; have.Stopped {
		w = have // and written once more: the first may not have come to the disk
	}
	b.words[w.Tenant] = w
	words, damaged := maps.Clone(b.words), b.damaged
	b.mu.Unlock()
	if damaged != nil { // it would be taken for all that was ever said
		return w, fmt.Errorf("everybody is stopped already: %w", damaged)
	}
	if err := write(b.files, b.state, words); err != nil {
		return w, fmt.Errorf("it is stopped, until this process ends: it could not be written down: %w", err)
	}
	return w, nil
}

// Start lifts a stop. Who was stopped by another word, or by the configuration, stays so: Closed says it. All lifts what was said of all, and of a file that cannot be read everything.
func (b *Book) Start(w Word) error {
	w.Stopped, w.At = false, w.At.UTC()
	if err := w.check(); err != nil {
		return err
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	words, damaged := maps.Clone(b.words), b.damaged
	b.mu.Unlock()
	switch {
	case damaged != nil && w.Tenant != All:
		return fmt.Errorf("%w (policy start --all writes it anew: nobody is stopped then)", damaged)
	case damaged == nil && !words[w.Tenant].Stopped:
		return &NotStopped{notStopped(w.Tenant, words)}
	}
	if damaged != nil {
		clear(words)
	}
	words[w.Tenant] = w
	if err := write(b.files, b.state, words); err != nil {
		return fmt.Errorf("it stays stopped: that it is not could not be written down: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.words, b.damaged = words, nil
	return nil
}

// Say is Stop or Start, as the word says. by is the word that counts now, and still why nothing of the tenant goes through all the same, or "".
func (b *Book) Say(w Word, now time.Time) (by Word, still string, err error) {
	w.At = now.UTC()
	if w.Stopped {
		by, err = b.Stop(w)
		return by, "", err
	}
	if err = b.Start(w); err != nil {
		return w, "", err
	}
	if why := b.Closed(w.Tenant, now); why != nil {
		return w, why.Error(), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if by := stoppedByName(b.words); w.Tenant == All && len(by) > 0 {
		still = "stopped by name are still: " + strings.Join(by, ", ")
	}
	return w, still, nil
}

func notStopped(tenant bundle.Name, words map[bundle.Name]Word) string {
	switch by := stoppedByName(words); {
	case tenant != All && words[All].Stopped:
		return "all tenants are stopped together: policy start --all lifts that"
	case tenant != All:
		return fmt.Sprintf("nobody has stopped tenant %s", tenant)
	case len(by) > 0:
		return fmt.Sprintf("nobody has stopped all tenants together; by name are stopped: %s", strings.Join(by, ", "))
	}
	return "nobody is stopped"
}

func stoppedByName(words map[bundle.Name]Word) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(words)) {
		if name != All && words[name].Stopped {
			names = append(names, string(name))
		}
	}
	return names
}

// Alarms are what is wrong with the routes that are configured. program is what people type.
func (b *Book) Alarms(now time.Time, program string) alarm.List {
	b.mu.Lock()
	tenants := slices.Sorted(maps.Keys(b.facts))
	facts, words, damaged := b.facts, maps.Clone(b.words), b.damaged
	b.mu.Unlock()
	var list alarm.List
	if damaged != nil {
		list.Add(string(bundle.ReasonRouteStopped), "", "nothing of any tenant goes through: %v (look who was stopped, then %s policy start --all)", damaged, program)
		return list
	}
	if all := words[All]; all.Stopped {
		list.Add(string(bundle.ReasonRouteStopped), "", "nothing of any tenant goes through: stopped %s (%s policy start --all)", all.by(), program)
	}
	for _, t := range tenants {
		f, w := facts[t], words[t]
		if w.Stopped {
			list.Add(string(bundle.ReasonRouteStopped), string(t), "tenant %s: nothing goes through: stopped %s (%s policy start --tenant %s)", t, w.by(), program, t)
		} else if f.gone {
			list.Add(string(bundle.ReasonRouteStopped), string(t), "tenant %s: nothing goes through: it stands in the configuration no more, and the next start forgets it", t)
		} else if f.Disabled {
			list.Add(string(bundle.ReasonRouteStopped), string(t), "tenant %s: nothing goes through: enabled: false in the configuration", t)
		}
		switch {
		case f.expired(now):
			list.Add(string(bundle.ReasonRouteExpired), string(t), "tenant %s: nothing goes through: its route ended with %s (ask %s; expires: in the configuration)", t, f.Expires, f.person())
		case f.expires(now):
			list.Add("route-expires", string(t), "tenant %s: its route ends with %s (ask %s; expires: in the configuration)", t, f.Expires, f.person())
		}
	}
	return list
}

// person is who is to be asked.
func (r *Facts) person() string {
	switch {
	case r.Contact != "":
		return r.Contact
	case r.Owner != "":
		return r.Owner
	}
	return "its owner"
}

// Tenants are those that are configured.
func (b *Book) Tenants() []bundle.Name {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.facts))
}
