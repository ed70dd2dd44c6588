package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// plainScalar is what no reader of YAML takes for anything but a text or a number.
var plainScalar = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/._:%+@=-]*$`)

// Scalar writes a text as the value of a key: as it is where it can only be read as itself, otherwise in quotes.
func Scalar(s string) string {
	switch {
	case plainScalar.MatchString(s) && !strings.HasSuffix(s, ":") && !strings.EqualFold(s, "null"):
		return s
	case strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0:
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return strconv.QuoteToASCII(s) // its escapes are YAML's too
}

// AddEntry adds an entry, lines of block-style YAML without indentation that begin with "name:", to one of the lists on the top level of a configuration. Everything
// else stays as it is, comments too. It refuses a list that is not in block style, with the lines to write by hand.
func AddEntry(text []byte, list, entry string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("edit the configuration: %w", err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if n := len(lines); lines[n-1] == "" {
		lines = lines[:n-1]
	} else {
		lines[n-1] += "\n"
	}
	var key, value *yaml.Node
	if len(doc.Content) > 0 && doc.Content[0].Kind == yaml.MappingNode {
		for top, i := doc.Content[0].Content, 0; i+1 < len(top); i += 2 {
			if top[i].Value == list {
				key, value = top[i], top[i+1]
			}
		}
	}
	switch {
	case key == nil:
		lines = append(lines, "\n", list+":\n", indent(entry, 2))
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null" || value.Kind == yaml.SequenceNode && len(value.Content) == 0:
		lines[key.Line-1] = list + ":\n" + indent(entry, 2)
	case value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0:
		last := end(value)
		lines[last-1] += indent(entry, value.Column-1)
	default:
		return nil, fmt.Errorf("edit the configuration: %s is not a list in block style; write by hand:\n%s:\n%s", list, list, indent(entry, 2))
	}
	return []byte(strings.Join(lines, "")), nil
}

// end is the last line of a node. Scalars of several lines do not end lists in these configurations.
func end(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, end(c))
	}
	return last
}

// indent makes a list's item of an entry.
func indent(entry string, columns int) string {
	var b bytes.Buffer
	for i, line := range strings.Split(strings.TrimRight(entry, "\n"), "\n") {
		b.WriteString(strings.Repeat(" ", columns))
		if i == 0 {
			b.WriteString("- ")
		} else {
			b.WriteString("  ")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
