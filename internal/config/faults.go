package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
)

// maxFaults bounds what is told of one file: nobody reads more.
const maxFaults = 100

// Fault is one thing that is wrong.
type Fault struct {
	Path     string // of the key: tenants[0].weight; empty where the whole file is meant
	Line     int    // in the file, 0 where it is not known
	Variable string // the environment variable that gave the value, or nothing
	Text     string
}

// Faults collects what is wrong with one configuration. One goroutine holds it.
type Faults struct {
	*collection
	prefix string
}

// collection is what a Faults and its parts share.
type collection struct {
	name      string
	lines     map[string]int    // path -> line of its key
	variables map[string]string // path -> environment variable that overrides it
	void      map[string]bool   // entries of lists that could not be read
	all       []Fault
	more      int // beyond maxFaults
}

func newFaults(name string) *Faults {
	return &Faults{&collection{name: name, lines: map[string]int{}, variables: map[string]string{}, void: map[string]bool{}}, ""}
}

// Add tells that the value at path is wrong: Add("links[0].rate", "must be above 0"). A second fault at one path is dropped, and so is what would be said of the keys
// of a list's entry that could not be read at all.
func (f *Faults) Add(path, format string, args ...any) {
	path = f.join(path)
	if f.isVoid(path) {
		return
	}
	f.add(Fault{Path: path, Line: f.line(path), Variable: f.variables[path], Text: fmt.Sprintf(format, args...)})
}

// Absolute tells where the value at path is no absolute path.
func (f *Faults) Absolute(path, value string) {
	if !filepath.IsAbs(value) {
		f.Add(path, "%q is not an absolute path", value)
	}
}

// Level tells where the value at path is no level of a log.
func (f *Faults) Level(path, value string) {
	switch value {
	case "debug", "info", "warn", "error":
	default:
		f.Add(path, "%q is none of debug, info, warn, error", value)
	}
}

// In gives the same collection for a part of the configuration: In("links[%d]", i) has Add("rate", ...) mean links[0].rate.
func (f *Faults) In(format string, args ...any) *Faults {
	return &Faults{f.collection, f.join(fmt.Sprintf(format, args...))}
}

// Err gives everything that was added as one *Error, or nil.
func (f *Faults) Err() error {
	if len(f.all) == 0 {
		return nil
	}
	all := slices.Clone(f.all)
	slices.SortStableFunc(all, func(a, b Fault) int { return order(a) - order(b) })
	return &Error{Name: f.name, Faults: all, More: f.more}
}

// order puts faults without a line last.
func order(f Fault) int {
	if f.Line == 0 {
		return maxFile + 1
	}
	return f.Line
}

func (f *Faults) join(path string) string {
	if path == "" {
		return f.prefix
	}
	return join(f.prefix, path)
}

func (c *collection) add(fault Fault) {
	if slices.ContainsFunc(c.all, func(o Fault) bool { return o.Path == fault.Path && fault.Path != "" }) {
		return
	}
	c.keep(fault)
}

func (c *collection) keep(fault Fault) {
	if len(c.all) == maxFaults {
		c.more++
		return
	}
	c.all = append(c.all, fault)
}

func (c *collection) addLine(path string, line int, format string, args ...any) {
	c.add(Fault{Path: path, Line: line, Text: fmt.Sprintf(format, args...)})
}

// addAlways adds a fault even where its path has one: a key can stand three times.
func (c *collection) addAlways(path string, line int, format string, args ...any) {
	c.keep(Fault{Path: path, Line: line, Text: fmt.Sprintf(format, args...)})
}

// place remembers where a key stands, and override which variable takes its place.
func (c *collection) place(path string, line int)           { c.lines[path] = line }
func (c *collection) override(path string, variable string) { c.variables[path] = variable }

// isVoid tells whether a path leads into an entry that could not be read.
func (c *collection) isVoid(path string) bool {
	for path = parent(path); path != ""; path = parent(path) {
		if c.void[path] {
			return true
		}
	}
	return false
}

// parent is the path of what holds the thing at path, or nothing at the top.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// line gives the line of a path, or of the nearest thing around it that stands in the file.
func (c *collection) line(path string) int {
	if c.variables[path] != "" {
		return 0
	}
	for path != "" {
		if line := c.lines[path]; line != 0 {
			return line
		}
		path = parent(path)
	}
	return 0
}

// addDecode adds what mapstructure could not decode: a tree of wrapped and joined errors, whose DecodeErrors carry paths. It returns false where it found none.
func (f *Faults) addDecode(err error) bool {
	switch e := err.(type) {
	case *mapstructure.DecodeError:
		if !f.addDecode(e.Unwrap()) { // the innermost path is the most exact
			f.Add(e.Name(), "%s", e.Unwrap())
		}
		return true
	case interface{ Unwrap() []error }:
		found := false
		for _, one := range e.Unwrap() {
			found = f.addDecode(one) || found
		}
		return found
	case interface{ Unwrap() error }:
		return f.addDecode(e.Unwrap())
	}
	return false
}

// Error is everything that is wrong with one configuration.
type Error struct {
	Name   string // of the file
	Faults []Fault
	More   int // faults that are not listed
}

// Error gives one line for each fault: FILE:LINE: PATH: what is wrong.
func (e *Error) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.where(f))
		if f.Path != "" {
			b.WriteString(f.Path + ": ")
		}
		b.WriteString(f.Text)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n%s: and %d more", e.Name, e.More)
	}
	return b.String()
}

func (e *Error) where(f Fault) string {
	switch {
	case f.Variable != "":
		return f.Variable + ": "
	case f.Line != 0:
		return e.Name + ":" + strconv.Itoa(f.Line) + ": "
	}
	return e.Name + ": "
}
