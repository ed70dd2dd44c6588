// Package alarm is what both sides call something wrong: it has a name that monitoring may rely on, a subject, and a text for a person. It is pure.
//
// An alarm stands as long as its cause does. Its text may count on; name and subject say whether it is the same one still.
package alarm

import "fmt"

// Alarm is one thing that is wrong.
type Alarm struct {
	Name  string `json:"name"`  // stable
	About string `json:"about"` // which link, which outbox; "" where there is only one such thing
	Text  string `json:"text"`  // what it is, and the next step
}

// List collects alarms in the order in which they are added.
type List []Alarm

// Add adds one.
func (l *List) Add(name, about, format string, args ...any) {
	*l = append(*l, Alarm{name, about, fmt.Sprintf(format, args...)})
}

// Absent adds that the daemon does not answer, and what to do: it does not run, or somebody holds its state all the same.
func (l *List) Absent(held bool, effect, next string) {
	if held {
		l.Add("unreachable", "", "a process holds the state and does not answer: the daemon starts just now, a command is at work on it, or its socket was removed; if that lasts: %s", next)
		return
	}
	l.Add("stopped", "", "the daemon is not running: %s (%s)", effect, next)
}

// Changes compares what stood with what stands: what is new, and what is over.
func Changes(before, now List) (began, ended List) { return now.without(before), before.without(now) }

func (l List) without(other List) (rest List) {
	type key struct{ name, about string }
	known := make(map[key]bool, len(other))
	for _, a := range other {
		known[key{a.Name, a.About}] = true
	}
	for _, a := range l {
		if !known[key{a.Name, a.About}] {
			rest = append(rest, a)
		}
	}
	return rest
}
