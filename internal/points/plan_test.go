package points

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var sides = []string{"low", "high"}

// looks are the kinds of act that change nothing. A kill or a power cut at one of them leaves the disk as one at the act before it, so only errors strike them.
var looks = []string{"open ", "read ", "stat ", "list ", "space "}

func changesSomething(class string) bool {
	return !slices.ContainsFunc(looks, func(kind string) bool { return strings.HasPrefix(class, kind) })
}

// plan decides which cases are run.
type plan struct {
	sites  map[string]map[string]bool // of each side, the classes of the undisturbed runs
	cases  []trial                    // the first level: each class in turn, so that any beginning of it is spread over all
	apart  bool                       // the runs had all their file systems
	next   int
	missed []trial // cases that came to nothing, of classes that nothing else has struck
	made   int

	whole bool    // the recoveries of throughout are struck at each act
	pairs []trial // that are left of them

	rand   *rand.Rand
	struck map[string]map[string]int // of each side, how often a class was struck
	again  map[string]int            // how often a class was struck while the side recovered
	bases  map[string][]trial        // of each class, cases in whose recovery it came, with their second site
	seen   []string                  // those classes, in order
}

// sitesMost bounds how many acts of one class are struck in one chapter: what is done each second is done alike.
const sitesMost = 24

// oneOf says whether the n-th of many acts is struck: the first half of the most, and others evenly among the rest.
func oneOf(n, many int) bool {
	const early = sitesMost / 2
	if many <= sitesMost || n <= early {
		return true
	}
	rest, left := many-early, sitesMost-early
	return (n-early)*left/rest != (n-early-1)*left/rest
}

// newPlan records the undisturbed runs.
func newPlan(t *testing.T) *plan {
	p := &plan{
		sites: make(map[string]map[string]bool), rand: rand.New(rand.NewPCG(1, 1)), struck: make(map[string]map[string]int), again: make(map[string]int), bases: make(map[string][]trial),
	}
	var first []string
	for _, side := range sides {
		p.sites[side], p.struck[side] = make(map[string]bool), make(map[string]int)
		for _, chapter := range chapterNames {
			first = append(first, trial{Side: side, Chapter: chapter}.String())
		}
	}
	acts := make(map[string][]site)
	left := slices.Clone(first)
	runAll(t, func() (text string) {
		if len(left) > 0 {
			text, left = left[0], left[1:]
		}
		return text
	}, func(o outcome) {
		if len(o.Faults) > 0 {
			o.tell(t)
		}
		acts[o.Trial], p.apart = o.Acts, o.Apart
	})
	if !p.apart {
		t.Log("no file systems can be mounted here: everything of a side is on one, and what they have between them is not shown")
	}
	groups := make(map[string][]trial)
	var order []string
	for _, text := range first {
		many := make(map[string]int)
		for _, at := range acts[text] {
			many[at.Class]++
		}
		for _, at := range acts[text] {
			c := parseTrial(text)
			p.sites[c.Side][at.Class] = true
			if !oneOf(at.N, many[at.Class]) {
				continue
			}
			key := c.Side + at.Class
			if groups[key] == nil {
				order = append(order, key)
			}
			for _, f := range faults {
				if f.strikes(at.Class) && (f.isError() || changesSomething(at.Class)) {
					c.First = blow{at, f}
					groups[key] = append(groups[key], c)
				}
			}
		}
	}
	for _, key := range order {
		p.rand.Shuffle(len(groups[key]), func(i, j int) { groups[key][i], groups[key][j] = groups[key][j], groups[key][i] })
	}
	for round := 0; len(order) > 0; round++ {
		p.rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		order = slices.DeleteFunc(order, func(key string) bool { return round >= len(groups[key]) })
		for _, key := range order {
			p.cases = append(p.cases, groups[key][round])
		}
	}
	return p
}

// secondEvery is how many cases there are to one with a second blow.
const secondEvery = 8

// throughout are cases in whose recovery every act is struck, each way, where so many cases are asked for: the moments at which most depends on what comes first.
var throughout = []trial{
	{Side: "low", Chapter: "ends", First: blow{site{"rename low/state/chain/TENANT.json.ecluse-tmp to low/state/chain/TENANT.json", 3}, killAfter}},
	{Side: "low", Chapter: "losses", First: blow{site{"rename low/state/bundles/BUNDLE/claim.json.ecluse-tmp to low/state/bundles/BUNDLE/claim.json", 6}, killBefore}},
	{Side: "high", Chapter: "days", First: blow{site{"rename high/state/anchor-a.ecluse-tmp to high/state/anchor-a", 4}, killAfter}},
	{Side: "high", Chapter: "days", First: blow{site{"rename-new high/state/quarantine/TENANT/BUNDLE/files/ITEM to high/import/TENANT/ITEM", 2}, killAfter}},
	{Side: "high", Chapter: "ends", First: blow{site{"rename-new far/import/TENANT/.ITEM.ecluse-BUNDLE to far/import/TENANT/ITEM", 1}, killAfter}},
}

const manyPoints = 20_000

// thorough puts these cases first.
func (p *plan) thorough(t *testing.T) {
	for _, c := range throughout {
		if !p.sites[c.Side][c.First.Site.Class] && p.apart {
			t.Errorf("no act is called %q any more", c.First.Site.Class)
		}
		p.missed = append(p.missed, c)
	}
	p.whole = true
}

// draw gives the next case: every eighth strikes again as the side recovers, where what is struck least.
func (p *plan) draw() string {
	p.made++
	if len(p.pairs) > 0 && p.made%2 == 0 {
		c := p.pairs[0]
		p.pairs = p.pairs[1:]
		return c.String()
	}
	if len(p.seen) > 0 && (p.made%secondEvery == 0 || p.next == len(p.cases)) {
		return p.drawSecond().String()
	}
	c := p.cases[p.next%len(p.cases)]
	if len(p.missed) > 0 {
		c, p.missed = p.missed[0], p.missed[1:]
	} else {
		p.next++
	}
	if p.made%secondEvery == 1 || p.whole && slices.Contains(throughout, c) {
		return tellRecovery + c.String()
	}
	return c.String()
}

func (p *plan) drawSecond() trial {
	least := slices.MinFunc(p.seen, func(a, b string) int { return p.again[a] - p.again[b] })
	p.again[least]++
	list := p.bases[least]
	c := list[p.rand.IntN(len(list))]
	c.Then.Fault = []fault{killBefore, killAfter, cutOrdered, cutLoose}[p.rand.IntN(4)]
	return c
}

// basesMost bounds the cases that are remembered for one class.
const basesMost = 200

// take learns from an outcome.
func (p *plan) take(o *outcome) {
	c := parseTrial(o.Trial)
	if o.Struck {
		p.struck[c.Side][c.First.Site.Class]++
	} else if p.struck[c.Side][c.First.Site.Class] == 0 { // a run went another way: an earlier one of the same acts is more likely to be met
		c.First.Site.N = (c.First.Site.N + 1) / 2
		p.missed = append(p.missed, c)
	}
	every := p.whole && slices.Contains(throughout, c)
	for _, at := range o.Recovery {
		key := c.Side + " " + at.Class
		if !changesSomething(at.Class) {
			continue
		}
		for _, f := range []fault{killBefore, cutOrdered, cutLoose} {
			if c.Then = (blow{at, f}); every {
				p.pairs = append(p.pairs, c)
			}
		}
		if p.bases[key] == nil {
			p.seen = append(p.seen, key)
		}
		if c.Then = (blow{Site: at}); len(p.bases[key]) < basesMost {
			p.bases[key] = append(p.bases[key], c)
		} else {
			p.bases[key][p.rand.IntN(basesMost)] = c
		}
	}
}
