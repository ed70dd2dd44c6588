package points

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
)

// site is one act of a run: the N-th, from 1 on, of its class.
type site struct {
	Class string // kind and normalised paths
	N     int
}

func (s site) String() string { return s.Class + "#" + strconv.Itoa(s.N) }

func parseSite(text string) site {
	at := strings.LastIndexByte(text, '#')
	if at < 0 {
		return site{}
	}
	n, _ := strconv.Atoi(text[at+1:])
	return site{text[:at], n}
}

var (
	aDraw    = regexp.MustCompile(`[A-Z2-7]{26}`)
	someID   = regexp.MustCompile(`[a-z2-7]{26}`)
	aNumber  = regexp.MustCompile(`^[0-9]+$`)
	aPair    = regexp.MustCompile(`^[a-z2-7]{2}$`)
	aVersion = regexp.MustCompile(`~[0-9]+$`)
)

// normal is a path without what differs from run to run, and without which tenant, bundle or item it is about.
func (w *world) normal(path string) string {
	rel, err := filepath.Rel(w.dir, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	parts := strings.Split(rel, "/")
	for i, p := range parts {
		p = aDraw.ReplaceAllString(someID.ReplaceAllString(p, "BUNDLE"), "RANDOM")
		if inner, rest, found := strings.Cut(strings.TrimPrefix(p, "."), ".ecluse-"); found && w.names[inner] {
			p = ".ITEM.ecluse-" + rest
		}
		switch bare := aVersion.ReplaceAllString(p, ""); {
		case w.names[bare]:
			parts[i] = "ITEM"
			if i < len(parts)-1 {
				return strings.Join(append(parts[:i+1:i+1], "..."), "/")
			}
			continue
		case i > 0 && parts[i-1] == "bundles" && aPair.MatchString(p):
			p = "XX"
		case aNumber.MatchString(p):
			p = "N"
		}
		for _, t := range tenants {
			p = strings.ReplaceAll(p, string(t), "TENANT")
		}
		parts[i] = p
	}
	return strings.Join(parts, "/")
}

// class is what an act is, over all runs.
func (w *world) class(op *disk.Op) string {
	text := op.Kind.String() + " " + w.normal(op.Path)
	if op.To != "" {
		text += " to " + w.normal(op.To)
	}
	return text
}

// fault is what happens at a site.
type fault string

const (
	killBefore fault = "kill"
	killAfter  fault = "kill-after"
	torn       fault = "torn"
	errorOnce  fault = "eio-once"
	errorPath  fault = "eio-path"
	errorAll   fault = "eio-all"
	full       fault = "enospc"
	fullOnce   fault = "enospc-once"
	short      fault = "short"
	cutOrdered fault = "cut-ordered"
	cutLoose   fault = "cut-loose"
)

var faults = []fault{killBefore, killAfter, torn, errorOnce, errorPath, errorAll, full, fullOnce, short, cutOrdered, cutLoose}

// what is the fault as the model knows it.
func (f fault) what() diskfault.What {
	return map[fault]diskfault.What{killBefore: diskfault.Kill, torn: diskfault.Torn, errorOnce: diskfault.ErrorOnce, errorPath: diskfault.ErrorPath, errorAll: diskfault.ErrorAll,
		full: diskfault.Full, fullOnce: diskfault.FullOnce, short: diskfault.Short, cutOrdered: diskfault.Kill, cutLoose: diskfault.Kill}[f]
}

// loss is how a life ends that the fault has killed.
func (f fault) loss() diskfault.Loss {
	switch f {
	case cutOrdered:
		return diskfault.Ordered
	case cutLoose:
		return diskfault.Loose
	}
	return diskfault.Killed
}

// strikes says whether the fault can happen to an act of a class.
func (f fault) strikes(class string) bool {
	if f == killAfter {
		return true
	}
	for k := disk.Kind(1); int(k) < disk.Kinds; k++ {
		if strings.HasPrefix(class, k.String()+" ") {
			return f.what().Strikes(k)
		}
	}
	return false
}

// isError says that the fault is an error of the medium.
func (f fault) isError() bool { return f == errorOnce || f == errorPath || f == errorAll }

// refuses says that the act is not done, and the process lives.
func (f fault) refuses() bool { return f.isError() || f == full || f == fullOnce || f == short }

// isSync says whether a class is a sync.
func isSync(class string) bool { return strings.HasPrefix(class, "sync") }

// blow is a fault at a site.
type blow struct {
	Site  site
	Fault fault
}

// trial is one case: a side, what strikes it, and what strikes it then as it recovers.
type trial struct {
	Side, Chapter string
	First         blow // of no site: nothing
	Then          blow // the same; its site is counted from the start after the first
}

func (c trial) String() string {
	text := c.Side + "|" + c.Chapter
	for _, b := range []blow{c.First, c.Then} {
		if b.Site.N > 0 {
			text += "|" + b.Site.String() + "|" + string(b.Fault)
		}
	}
	return text
}

func parseTrial(text string) (c trial) {
	words := strings.Split(text, "|")
	c.Side = words[0]
	if len(words) >= 2 {
		c.Chapter = words[1]
	}
	if len(words) >= 4 {
		c.First = blow{parseSite(words[2]), fault(words[3])}
	}
	if len(words) >= 6 {
		c.Then = blow{parseSite(words[4]), fault(words[5])}
	}
	return c
}
