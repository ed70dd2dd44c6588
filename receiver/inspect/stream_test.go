package inspect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// connection is a session with a scanner that takes so many contents and no more.
type connection struct {
	left    int
	version string
	lax     bool // it finds nothing
	log     *[]string
	err     error
}

func (c *connection) Version() (Version, error) { return Version{Text: c.version}, c.err }
func (c *connection) Usable() bool              { return c.left > 0 }
func (c *connection) Close() error              { *c.log = append(*c.log, "close"); return nil }

func (c *connection) Scan(name string, content io.Reader, size int64) (*Found, error) {
	c.left--
	text, err := io.ReadAll(content)
	if err != nil || int64(len(text)) != size {
		return nil, errors.New("it is cut")
	}
	*c.log = append(*c.log, name)
	if !c.lax && (strings.HasSuffix(name, ".zip") || bytes.Contains(text, testVirus())) {
		return &Found{Text: "EICAR"}, nil
	}
	return nil, nil
}

// over is an inspector over connections, one after another.
func over(log *[]string, all ...connection) *Streams {
	return &Streams{Open: func(context.Context) (Session, error) {
		if len(all) == 0 {
			return nil, errors.New("nobody is there")
		}
		c := all[0]
		c.log, all = log, all[1:]
		*log = append(*log, "open")
		return &c, nil
	}}
}

func TestAScannerIsTriedAgainOverEachConnection(t *testing.T) {
	files := fstest.MapFS{"item/a": {Data: []byte("words")}, "item/b": {Data: []byte("words")}, "item/c": {Data: []byte("words")}, "item/empty": {}}
	const trial = "eicar.com eicar.zip nested.zip"
	for name, row := range map[string]struct {
		all  []connection
		want string // what was done, or a part of the error
	}{
		"one connection":                   {[]connection{{left: 100, version: "1"}}, "open " + trial + " padded.zip item/a item/b item/c close"},
		"it ends in between":               {[]connection{{left: 5, version: "1"}, {left: 100, version: "1"}}, "open " + trial + " padded.zip item/a open close " + trial + " item/b item/c close"},
		"another lets everything pass":     {[]connection{{left: 5, version: "1"}, {left: 100, version: "1", lax: true}}, "it is not trusted"},
		"another is of another version":    {[]connection{{left: 5, version: "1"}, {left: 100, version: "2"}}, `"1" to "2"`},
		"another is not there":             {[]connection{{left: 5, version: "1"}}, "nobody is there"},
		"another says no version":          {[]connection{{left: 5, version: "1"}, {left: 100, err: errors.New("no word")}}, "no word"},
		"it lets everything pass at once":  {[]connection{{left: 100, version: "1", lax: true}}, "it is not trusted"},
		"each takes one content, and ends": {slices.Repeat([]connection{{left: 1, version: "1"}}, 100), "open eicar.com open close eicar.zip open close nested.zip"},
	} {
		var log []string
		a, err := over(&log, row.all...).Look(t.Context(), Item{Files: files, Name: "item"})
		switch got := strings.Join(log, " "); {
		case err != nil:
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v, want %q", name, err, row.want)
			}
		case a.Files != 4 || len(a.Findings) > 0 || !strings.HasPrefix(got, row.want) || strings.Count(got, "open") != strings.Count(got, "close"):
			t.Errorf("%s: %+v, done was %q, want %q", name, a, got, row.want)
		}
	}
}

// What was found stands, also where the scanner goes away afterwards.
func TestWhatWasFoundStands(t *testing.T) {
	files := fstest.MapFS{"item/a": {Data: testVirus()}, "item/b": {Data: []byte("words")}}
	var log []string
	a, err := over(&log, connection{left: 5, version: "1"}).Look(t.Context(), Item{Files: files, Name: "item"})
	if err != nil || len(a.Findings) != 1 || a.Findings[0].Path != "item/a" {
		t.Errorf("%+v, %v", a, err)
	}
	all := fstest.MapFS{}
	for n := range 100 {
		all["item/"+strings.Repeat("x", n+1)] = &fstest.MapFile{Data: testVirus()}
	}
	if a, err = over(&log, connection{left: 1000, version: "1"}).Look(t.Context(), Item{Files: all, Name: "item"}); err != nil || len(a.Findings) != FindingsMost {
		t.Errorf("of a hundred: %d, %v", len(a.Findings), err)
	}
}
