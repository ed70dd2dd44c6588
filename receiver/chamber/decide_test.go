package chamber

import (
	"os"
	"path/filepath"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

func TestOnePersonReleases(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	r := h.take(i, ledger.Quarantined)
	if h.Undecided(r) != 1 {
		t.Errorf("%d people are missing", h.Undecided(r))
	}
	must(t, h.approve(i, 1000))
	r = h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
	if len(r.Decisions) != 1 || r.Decisions[0].UID != 1000 || h.Undecided(r) != 0 {
		t.Errorf("decisions: %+v", r.Decisions)
	}
	refusedError(t, h.approve(i, 1001), "imported")
}

func TestTwoDifferentPeopleReleaseInAnyOrder(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeTwo)
	h := p.open(t)
	for _, people := range [][2]uint32{{1000, 1001}, {1001, 1000}} {
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.take(i, ledger.Quarantined)
		must(t, h.approve(i, people[0]))
		h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
		refusedError(t, h.approve(i, people[0]), "somebody else")
		h = h.again()
		refusedError(t, h.approve(i, people[0]), "somebody else")
		if r := h.record(i); r.State != ledger.Quarantined || h.Undecided(r) != 1 {
			t.Fatalf("after one person: %s", describe(r))
		}
		must(t, h.approve(i, people[1]))
		h.becomes(i, ledger.Imported)
	}
}

func TestAnAutomaticTenantAsksNobody(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	var all []*item
	for _, name := range []string{"a", "b", "c"} {
		i := p.lows[0].pack(t, "cssf", small(name))
		h.receive(i.from, i.whole()...)
		all = append(all, i)
	}
	for _, i := range all {
		h.becomes(i, ledger.Imported)
	}
	stands(t, p.at(imports), all...)
}

func TestAnApprovalVerifiesOnceMore(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"a flipped byte": func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, "files", "x", "sub", "big"), os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt([]byte("X"), 5000)
			must(t, err)
			must(t, f.Close())
		},
		"an extra file": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "files", "x", "extra"), nil, 0o600))
		},
		"an extra paper": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "extra"), nil, 0o600))
		},
		"a missing file": func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "files", "x", "sub", "none"))) },
		"a link": func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "files", "x", "a"), filepath.Join(dir, "..", "a")))
			must(t, os.Symlink("../../../a", filepath.Join(dir, "files", "x", "a")))
		},
		"rewritten sums": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, quarantine.SumsName), []byte("d41d8cd98f  files/x/a\n"), 0o600))
		},
		"all of it gone": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t, release.ModeOne)
			h := p.open(t)
			i := p.lows[0].pack(t, "cssf", small("x"))
			h.take(i, ledger.Quarantined)
			spoil(t, p.quarantine(i))
			refusedError(t, h.approve(i, 1), "it is refused now")
			h.is(i, ledger.Refused, bundle.ReasonContentMismatch)
			if v := h.record(i).Verdict; v != nil {
				t.Errorf("it is refused, and its verdict is %s", *v)
			}
			refusedError(t, h.approve(i, 1), "refused") // for good
			h = h.again()
			refusedError(t, h.approve(i, 2), "refused")
			if names(t, p.at(imports)) != "" {
				t.Error("it was delivered")
			}
		})
	}
}

func TestARejectionIsFinal(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	if h.reject(i, 1, "") == nil {
		t.Error("a rejection needs no reason")
	}
	must(t, h.reject(i, 1, "not what we asked for"))
	h.is(i, ledger.Rejected, bundle.ReasonRejected)
	refusedError(t, h.approve(i, 2), "rejected")
	refusedError(t, h.Deliver(t.Context(), i.id()), "rejected")
	h = h.again()
	refusedError(t, h.approve(i, 2), "rejected")
	h.receive(i.from, i.whole()...)
	h.is(i, ledger.Rejected, bundle.ReasonRejected)
	stands(t, filepath.Join(p.quarantine(i), "files"), i) // for as long as keep says
}

func TestNobodyApprovesForATenantThatIsNotConfigured(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	delete(p.tenants, "cssf")
	h = h.again()
	refusedError(t, h.approve(i, 1), "not configured")
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
	must(t, h.reject(i, 1, "its tenant has left"))
}
