package config

import (
	"bytes"
	"encoding"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// field is one key that a struct takes.
type field struct {
	reflect.StructField
	key string
}

// squashed is the tag of an embedded struct.
const squashed = ",squash"

// fieldsOf lists the keys of a struct in order. A struct that this package cannot serve is a bug of its owner.
func fieldsOf(t reflect.Type) (fields []field) {
	for f := range t.Fields() {
		key := f.Tag.Get(tagName)
		if key == squashed && f.Anonymous { // its keys stand among those of the struct
			fields = append(fields, fieldsOf(f.Type)...)
			continue
		}
		if key == "-" {
			continue
		}
		if key == "" || strings.ContainsAny(key, ",. ") || key != strings.ToLower(key) || !f.IsExported() {
			panic("config: the field " + t.String() + "." + f.Name + " has no plain lower-case key")
		}
		fields = append(fields, field{f, key})
	}
	return fields
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// textual tells whether a type reads itself from text.
func textual(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshaler) }

// tree turns YAML nodes into the maps, lists and texts that a type wants, and tells what does not fit.
type tree struct{ faults *Faults }

var yamlLine = regexp.MustCompile(`^yaml: line ([0-9]+): (.*)$`)

// parseTree reads one YAML document whose root is a mapping with the keys of t. Keys that are faulty are left out of what it returns; ok is false
// where it is no such document, and nothing more can be said of it.
func parseTree(data []byte, t reflect.Type, faults *Faults) (m map[string]any, ok bool) {
	if !utf8.Valid(data) { // the parser would take UTF-16
		faults.addLine("", lineOfInvalid(data), "the text is not UTF-8")
		return nil, false
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil, true
	case err != nil:
		addSyntax(faults, err)
		return nil, false
	}
	var next yaml.Node
	if err := decoder.Decode(&next); err == nil {
		faults.addLine("", next.Line, "a second document begins here: there is one in a file")
		return nil, false
	} else if !errors.Is(err, io.EOF) {
		addSyntax(faults, err)
		return nil, false
	}
	root := document.Content[0]
	if root.ShortTag() == "!!null" && root.Anchor == "" {
		return nil, true
	}
	m, ok = tree{faults}.value(root, t, "").(map[string]any)
	return m, ok
}

// lineOfInvalid is the line of the first byte that is not UTF-8.
func lineOfInvalid(data []byte) int {
	line := 1
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		if c == utf8.RuneError && size == 1 {
			break
		}
		if c == '\n' {
			line++
		}
		data = data[size:]
	}
	return line
}

// addSyntax adds what the YAML parser says; it begins with the line where it knows it.
func addSyntax(faults *Faults, err error) {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits, and 0 is no line
		faults.addLine("", line, "not YAML: %s", m[2])
		return
	}
	faults.addLine("", 0, "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// value gives what a node holds for a type, or nil after a fault.
func (r tree) value(n *yaml.Node, t reflect.Type, path string) any {
	trick := trickOf(n)
	switch {
	case trick != "":
		return r.fault(path, n, "%s", trick)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return r.fault(path, n, "has no value; leave the key out to have its default")
	case textual(t):
		return r.text(n, path)
	}
	switch t.Kind() {
	case reflect.Struct:
		return r.mapping(n, t, path)
	case reflect.Slice:
		return r.list(n, t.Elem(), path)
	case reflect.Map, reflect.Interface, reflect.Pointer, reflect.Array, reflect.Chan, reflect.Func:
		panic("config: " + path + " has a type that this package does not serve: " + t.String())
	}
	return r.text(n, path)
}

// trickOf says what of a key or a value makes YAML guess, or nothing.
func trickOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return "anchors and aliases are not taken here: write the value out"
	case n.Style&yaml.TaggedStyle != 0:
		return "tags such as " + plain(n.Tag) + " are not taken here"
	case n.ShortTag() == "!!merge":
		return "merge keys are not taken here: write the values out"
	}
	return ""
}

func (r tree) fault(path string, n *yaml.Node, format string, args ...any) any {
	r.faults.addLine(path, n.Line, format, args...)
	return nil
}

// text gives a scalar as it is written, and its type reads it.
func (r tree) text(n *yaml.Node, path string) any {
	if n.Kind != yaml.ScalarNode {
		return r.fault(path, n, "wants one value, not a %s", kindName(n))
	}
	return n.Value
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "group of keys"
	case yaml.SequenceNode:
		return "list"
	}
	return "single value"
}

// mapping reads the keys of a struct. What is unknown, or stands twice, is a fault and left out.
func (r tree) mapping(n *yaml.Node, t reflect.Type, path string) any {
	if n.Kind != yaml.MappingNode {
		return r.fault(path, n, "wants keys with values, not a %s", kindName(n))
	}
	fields := map[string]field{}
	for _, f := range fieldsOf(t) {
		fields[f.key] = f
	}
	m, seen := map[string]any{}, map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, plain(key.Value))
		f, known := fields[key.Value]
		first, twice := seen[key.Value]
		trick := trickOf(key)
		switch {
		case key.Kind == yaml.MappingNode || key.Kind == yaml.SequenceNode:
			r.fault(path, key, "a key is a plain word")
			continue
		case key.Kind == yaml.AliasNode:
			r.fault(path, key, "%s", trick)
			continue
		case trick != "":
			r.fault(at, key, "%s", trick)
			continue
		case twice:
			r.faults.addAlways(at, key.Line, "is given twice, first on line %d", first)
			continue
		case !known:
			r.fault(at, key, "unknown key (%s)", suggest(key.Value, fields))
			continue
		}
		seen[key.Value] = key.Line
		r.faults.place(at, key.Line)
		if v := r.value(value, f.Type, at); v != nil {
			m[key.Value] = v
		}
	}
	return m
}

// keyMost is how much of a key is shown: none that is known is as long.
const keyMost = 60

// plain quotes a key that would not read as one word of a path.
func plain(key string) string {
	if len(key) > keyMost {
		key = strings.ToValidUTF8(key[:keyMost], "") + "..."
	}
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c >= 0x7f || c == '"' {
			return strconv.Quote(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}

// list reads a sequence. Entries that have a name need one, and each another.
func (r tree) list(n *yaml.Node, entry reflect.Type, path string) any {
	if n.Kind != yaml.SequenceNode {
		return r.fault(path, n, "wants a list: entries that begin with -, or [a, b]")
	}
	all, names := []any{}, map[string]string{}
	for i, e := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		r.faults.place(at, e.Line)
		v := r.value(e, entry, at)
		if m, ok := v.(map[string]any); ok && named(entry) {
			r.name(m, at, names)
		}
		if v != nil {
			all = append(all, v)
		} else {
			r.faults.void[at] = true
			all = append(all, map[string]any{}) // keeps the numbers of those that follow
		}
	}
	return all
}

// named tells whether entries of a list carry a name.
func named(t reflect.Type) bool {
	if textual(t) || t.Kind() != reflect.Struct {
		return false
	}
	for _, f := range fieldsOf(t) {
		if f.key == "name" {
			return true
		}
	}
	return false
}

// name checks the name of one entry against those before it.
func (r tree) name(entry map[string]any, at string, names map[string]string) {
	name, _ := entry["name"].(string)
	first, twice := names[name]
	switch {
	case name == "":
		r.faults.Add(at+".name", "is missing")
	case twice:
		r.faults.Add(at+".name", "%q is the name of %s already", name, first)
	default:
		names[name] = at
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
