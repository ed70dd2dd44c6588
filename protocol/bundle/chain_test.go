package bundle

import (
	"fmt"
	"testing"
)

// memory is a History that keeps everything that was accepted or held.
type memory struct {
	held             []Place
	paired, replaced Epoch
	floor            uint64
}

func (m *memory) find(is func(p Place) bool) (Place, bool) {
	for _, p := range m.held {
		if is(p) {
			return p, true
		}
	}
	return Place{}, false
}

func (m *memory) Held(id ID) bool {
	_, ok := m.find(func(p Place) bool { return p.Bundle == id })
	return ok
}

func (m *memory) HeldDigest(d Digest) bool {
	_, ok := m.find(func(p Place) bool { return p.Digest == d })
	return ok
}

func (m *memory) EpochStatus(e Epoch) EpochStatus {
	switch e {
	case m.paired:
		return EpochPaired
	case m.replaced:
		return EpochReplaced
	}
	return EpochUnknown
}

func (m *memory) At(e Epoch, sequence uint64) (digest, previous Digest, ok bool) {
	p, ok := m.find(func(p Place) bool { return p.Epoch == e && p.Sequence == sequence })
	return p.Digest, p.Previous, ok
}

func (m *memory) Floor(e Epoch) uint64 {
	if e == m.paired {
		return m.floor
	}
	return 0
}

// take judges, and holds what is accepted or held as epoch-new.
func (m *memory) take(p Place) string {
	err := Judge(m, p)
	if reason, _ := ReasonOf(err); err == nil || reason == ReasonEpochNew {
		m.held = append(m.held, p)
	}
	if err == nil {
		return "accepted"
	}
	return ruleOf(err)
}

var (
	oldEpoch    = Epoch{1}
	presentOne  = Epoch{2}
	strangeOne  = Epoch{3}
	anotherLife = Epoch{4}
)

// at makes a manifest: its digest tells epoch, sequence and variant, so that equal places have equal manifests.
func at(e Epoch, sequence uint64, variant byte, previous Digest) Place {
	return Place{Bundle: ID{e[0], byte(sequence), variant, 0xb}, Epoch: e, Sequence: sequence, Digest: Digest{e[0], byte(sequence), variant, 0xd}, Previous: previous}
}

func TestJudgements(t *testing.T) {
	one := at(presentOne, 1, 0, Digest{})
	two := at(presentOne, 2, 0, one.Digest)
	three := at(presentOne, 3, 0, two.Digest)
	with := func(p Place, change func(*Place)) Place { change(&p); return p }
	for _, row := range []struct {
		name  string
		floor uint64
		held  []Place
		judge Place
		want  string
	}{
		{"Q-5/the first", 0, nil, one, "accepted"},
		{"Q-5/in order", 0, []Place{one, two}, three, "accepted"},
		{"Q-5/predecessor missing", 0, nil, three, "accepted"},
		{"Q-5/into a hole", 0, []Place{one, three}, two, "accepted"},
		{"Q-5/before all", 0, []Place{two, three}, one, "accepted"},
		{"Q-5/far ahead", 0, []Place{one}, with(three, func(p *Place) { p.Sequence = MaxSequence }), "accepted"},
		{"Q-5/the last number there is", 0, []Place{one, with(two, func(p *Place) { p.Sequence = 0 })}, with(three, func(p *Place) { p.Sequence = 1<<64 - 1 }), "accepted"},
		{"Q-5/one above the floor", 2, nil, three, "accepted"},
		{"Q-1/the same again", 0, []Place{one}, one, "sequence-replay Q-1"},
		{"Q-1/the same again, later", 0, []Place{one, two, three}, two, "sequence-replay Q-1"},
		{"Q-1/the same id with another manifest", 0, []Place{one}, with(two, func(p *Place) { p.Bundle = one.Bundle }), "sequence-replay Q-1"},
		{"Q-1/the same manifest with another id", 0, []Place{one}, with(one, func(p *Place) { p.Bundle = ID{9} }), "sequence-replay Q-1"},
		{"Q-1/before Q-2: held, of an epoch since replaced", 0, []Place{at(oldEpoch, 1, 0, Digest{})}, at(oldEpoch, 1, 0, Digest{}), "sequence-replay Q-1"},
		{"Q-1/before Q-2: held, below the floor", 5, []Place{one}, one, "sequence-replay Q-1"},
		{"Q-1/before Q-4: held, of a strange epoch", 0, []Place{at(strangeOne, 1, 0, Digest{})}, at(strangeOne, 1, 0, Digest{}), "sequence-replay Q-1"},
		{"Q-2/an epoch replaced", 0, nil, at(oldEpoch, 1, 0, Digest{}), "sequence-rollback Q-2"},
		{"Q-2/an epoch replaced, next in its chain", 0, []Place{at(oldEpoch, 1, 0, Digest{})}, at(oldEpoch, 2, 0, Digest{oldEpoch[0], 1, 0, 0xd}), "sequence-rollback Q-2"},
		{"Q-2/at the floor", 3, nil, three, "sequence-rollback Q-2"},
		{"Q-2/below the floor", 7, nil, three, "sequence-rollback Q-2"},
		{"Q-2/before Q-3: a fork below the floor", 3, []Place{three}, at(presentOne, 3, 1, two.Digest), "sequence-rollback Q-2"},
		{"Q-3/the place is taken", 0, []Place{one, two}, at(presentOne, 2, 1, one.Digest), "sequence-fork Q-3"},
		{"Q-3/the first place is taken", 0, []Place{one}, at(presentOne, 1, 1, Digest{}), "sequence-fork Q-3"},
		{"Q-3/follows another than is held", 0, []Place{one}, at(presentOne, 2, 1, Digest{0xee}), "sequence-fork Q-3"},
		{"Q-3/what is held follows another", 0, []Place{two}, at(presentOne, 1, 1, Digest{}), "sequence-fork Q-3"},
		{"Q-3/fits before, not after", 0, []Place{one, three}, at(presentOne, 2, 1, one.Digest), "sequence-fork Q-3"},
		{"Q-3/fits after, not before", 0, []Place{one, three}, with(two, func(p *Place) { p.Previous = Digest{0xee} }), "sequence-fork Q-3"},
		{"Q-3/before Q-4: in a strange epoch", 0, []Place{at(strangeOne, 1, 0, Digest{})}, at(strangeOne, 1, 1, Digest{}), "sequence-fork Q-3"},
		{"Q-4/a strange epoch", 0, []Place{one}, at(strangeOne, 1, 0, Digest{}), "epoch-new Q-4"},
		{"Q-4/a strange epoch, the floor is another's", 9, nil, at(strangeOne, 1, 0, Digest{}), "epoch-new Q-4"},
		{"Q-4/a strange epoch goes on", 0, []Place{at(strangeOne, 1, 0, Digest{})}, at(strangeOne, 2, 0, Digest{strangeOne[0], 1, 0, 0xd}), "epoch-new Q-4"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := &memory{held: row.held, paired: presentOne, replaced: oldEpoch, floor: row.floor}
			if got := m.take(row.judge); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

// expected says over the list of what arrived, without a History: the oracle of the exhaustive test.
func expected(held []Place, p Place) string {
	for _, h := range held {
		if h.Bundle == p.Bundle || h.Digest == p.Digest {
			return "sequence-replay Q-1"
		}
	}
	if p.Epoch == oldEpoch {
		return "sequence-rollback Q-2"
	}
	for _, h := range held {
		if h.Epoch == p.Epoch && (h.Sequence == p.Sequence || h.Sequence+1 == p.Sequence && p.Previous != h.Digest || p.Sequence+1 == h.Sequence && h.Previous != p.Digest) {
			return "sequence-fork Q-3"
		}
	}
	if p.Epoch != presentOne {
		return "epoch-new Q-4"
	}
	return "accepted"
}

// Every order of every manifest of a small world: an honest chain of three, a fork at each place, a forged link, an id used twice, a replaced and a strange epoch.
func TestEveryInterleavingOfASmallWorld(t *testing.T) {
	one := at(presentOne, 1, 0, Digest{})
	two := at(presentOne, 2, 0, one.Digest)
	three := at(presentOne, 3, 0, two.Digest)
	twice := at(presentOne, 2, 2, one.Digest)
	twice.Bundle = three.Bundle
	world := []Place{
		one, two, three,
		at(presentOne, 1, 1, Digest{}),
		at(presentOne, 2, 1, one.Digest),
		at(presentOne, 3, 1, Digest{presentOne[0], 2, 1, 0xd}),
		twice,
		at(strangeOne, 1, 0, Digest{}),
		at(strangeOne, 2, 1, Digest{0xee}),
		at(oldEpoch, 1, 0, Digest{}),
	}
	sequences := 0
	// Each step may take any of the world, also one that was there before: all words of length 5, and at each of them all invariants.
	var walk func(m *memory, depth int)
	walk = func(m *memory, depth int) {
		sequences++
		checkChain(t, m)
		if depth == 0 {
			return
		}
		for _, p := range world {
			before := len(m.held)
			want := expected(m.held, p)
			if got := m.take(p); got != want {
				t.Fatalf("after %v: %v is %s, want %s", m.held[:before], p, got, want)
			}
			walk(m, depth-1)
			m.held = m.held[:before]
		}
	}
	walk(&memory{paired: presentOne, replaced: oldEpoch}, 5)
	if sequences != 1+10+100+1000+10000+100000 {
		t.Errorf("%d sequences were walked", sequences)
	}
}

// checkChain holds what the rules are for: one manifest a place, links that hold, nothing twice.
func checkChain(t *testing.T, m *memory) {
	t.Helper()
	for i, a := range m.held {
		for _, b := range m.held[i+1:] {
			switch {
			case a.Bundle == b.Bundle || a.Digest == b.Digest:
				t.Fatalf("held twice: %v and %v", a, b)
			case a.Epoch != b.Epoch:
			case a.Sequence == b.Sequence:
				t.Fatalf("two at one place: %v and %v", a, b)
			case a.Sequence+1 == b.Sequence && b.Previous != a.Digest, b.Sequence+1 == a.Sequence && a.Previous != b.Digest:
				t.Fatalf("a link is broken: %v and %v", a, b)
			}
		}
	}
}

// An honest sender's bundles are all accepted, whatever the order, the losses and the repeats.
func TestAnHonestChainIsAcceptedInAnyOrder(t *testing.T) {
	var chain []Place
	var previous Digest
	for sequence := uint64(1); sequence <= 6; sequence++ {
		p := at(presentOne, sequence, 0, previous)
		chain, previous = append(chain, p), p.Digest
	}
	orders := 0
	var permute func(rest []Place, m *memory)
	permute = func(rest []Place, m *memory) {
		orders++
		for i, p := range rest {
			before := len(m.held)
			if got := m.take(p); got != "accepted" {
				t.Fatalf("Q-5: after %v: %v is %s", m.held[:before], p, got)
			}
			if got := m.take(p); got != "sequence-replay Q-1" {
				t.Fatalf("Q-1: the second %v is %s", p, got)
			}
			permute(append(append([]Place{}, rest[:i]...), rest[i+1:]...), m)
			m.held = m.held[:before]
		}
	}
	permute(chain, &memory{paired: presentOne})
	if orders != 1+6+30+120+360+720+720 {
		t.Errorf("%d beginnings of orders were walked", orders)
	}
}

// After a restart that remembers everything, a replay of all that ever was changes nothing; after the sender was paired anew it is a rollback.
func TestAReplayOfTheWholePastIsRefused(t *testing.T) {
	m := &memory{paired: presentOne}
	var past []Place
	var previous Digest
	for sequence := uint64(1); sequence <= 20; sequence++ {
		p := at(presentOne, sequence, 0, previous)
		past, previous = append(past, p), p.Digest
		if got := m.take(p); got != "accepted" {
			t.Fatal(got)
		}
	}
	for _, p := range past {
		if got := m.take(p); got != "sequence-replay Q-1" {
			t.Errorf("%v is %s", p, got)
		}
	}
	forgetful := &memory{paired: anotherLife, replaced: presentOne}
	for _, p := range past {
		if got := forgetful.take(p); got != "sequence-rollback Q-2" {
			t.Errorf("%v is %s", p, got)
		}
	}
	purged := &memory{paired: presentOne, floor: 20}
	for _, p := range past {
		if got := purged.take(p); got != "sequence-rollback Q-2" {
			t.Errorf("%v is %s", p, got)
		}
	}
	if got := purged.take(at(presentOne, 21, 0, previous)); got != "accepted" {
		t.Errorf("the next one is %s", got)
	}
}

func TestAbandonMessage(t *testing.T) {
	got := AbandonMessage(ID{1}, Epoch{2}, "cssf", "the item changed")
	want := "ecluse abandon 1\n" + "\x01" + string(make([]byte, 15)) + "\x02" + string(make([]byte, 15)) + "\x04cssf" + "\x10the item changed"
	if string(got) != want {
		t.Errorf("R-9: %q, want %q", got, want)
	}
	if a, b := AbandonMessage(ID{1}, Epoch{2}, "ab", "c"), AbandonMessage(ID{1}, Epoch{2}, "a", "bc"); string(a) == string(b) {
		t.Error("R-9: two abandons have one message")
	}
	defer func() {
		if fmt.Sprint(recover()) != "bundle: internal error: a field of an abandon outgrew its length byte" {
			t.Error("a reason of 256 bytes is taken")
		}
	}()
	AbandonMessage(ID{1}, Epoch{2}, "a", string(make([]byte, 256)))
}
