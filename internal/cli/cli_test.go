package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/config"
	"ecluse/internal/control"
)

func tree(ends error) *cobra.Command {
	root := &cobra.Command{Use: "prog", Short: "a program"}
	list := &cobra.Command{Use: "list", Short: "lists", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return ends }}
	list.Flags().Bool("new", false, "")
	list.Flags().Bool("old", false, "")
	list.MarkFlagsMutuallyExclusive("new", "old")
	root.AddCommand(list)
	return root
}

func TestEveryWayToEndHasItsCodeAndItsWords(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		ends error
		code int
		says string
	}{
		{"well", []string{"list"}, nil, 0, ""},
		{"any error", []string{"list"}, errors.New("disk"), 1, "prog: disk"},
		{"with a hint", []string{"list"}, WithHint(Fail(NotFound, "no bundle"), "list them"), 3, "hint: list them"},
		{"told already", []string{"list"}, &Error{Code: Refused}, 4, ""},
		{"the daemon's word", []string{"list"}, &control.Error{Code: 4, Text: "held"}, 4, "prog: held"},
		{"a configuration", []string{"list"}, &config.Error{Name: "x.yaml", Faults: []config.Fault{{Text: "bad"}}}, 2, "x.yaml"},
		{"an unknown command", []string{"lisst"}, nil, 2, "did you mean list"},
		{"an unknown command with a flag of it", []string{"lisst", "--old"}, nil, 2, "unknown command \"lisst\"\nprog: hint: did you mean list"},
		{"an unknown flag", []string{"list", "--nonsense"}, nil, 2, "nonsense"},
		{"flags of which one is enough", []string{"list", "--old", "--new"}, nil, 2, "prog: --new and --old want different things: take one of them"},
		{"too many arguments", []string{"list", "x"}, nil, 2, "hint: prog list --help"},
		{"nothing", nil, nil, 2, "list"},
		{"escapes in an error", []string{"list"}, errors.New("a\x1b[31mb"), 1, "a\ufffd[31mb"},
	} {
		var out, errs bytes.Buffer
		code := Run(tree(row.ends), row.args, Streams{Out: &out, Err: &errs})
		if code != row.code || !strings.Contains(errs.String(), row.says) || row.says == "" && errs.Len() > 0 || out.Len() > 0 {
			t.Errorf("%s: exit %d, out %q, err %q; want %d, %q", row.name, code, out.String(), errs.String(), row.code, row.says)
		}
	}
}

func TestHelpGoesToStdoutAndNamesTheExitCodes(t *testing.T) {
	var out, errs bytes.Buffer
	if code := Run(tree(nil), []string{"list", "--help"}, Streams{Out: &out, Err: &errs}); code != 0 || !strings.Contains(out.String(), "Exit codes:") || errs.Len() > 0 {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}

func TestNamesCannotDrawOnATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain":      "plain",
		"two words":  "two words",
		" leading":   `" leading"`,
		"":           `""`,
		"a\nb":       `"a\nb"`,
		"\x1b]8;;x":  `"\x1b]8;;x"`,
		"a\u202eb":   `"a\u202eb"`,
		"\xff":       `"\xff"`,
		`"quoted"`:   `"\"quoted\""`,
		"名字 👨‍👩‍👧 é": "名字 👨‍👩‍👧 é",
	} {
		if got := Quote(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}

func TestAMeterSaysHowFastAndHowLong(t *testing.T) {
	var m Meter
	t0 := time.Unix(0, 0)
	for i := range 20 {
		m.Note(t0.Add(time.Duration(i)*time.Second), int64(i)*1000)
	}
	if r := m.Rate(); r < 999 || r > 1001 {
		t.Errorf("rate %v", r)
	}
	line := m.Line("x", 79_000, 100)
	for _, part := range []string{"24%", "01:00 left", "[###"} {
		if !strings.Contains(line, part) {
			t.Errorf("%q lacks %q", line, part)
		}
	}
	if len([]rune(line)) > 100 {
		t.Errorf("%d columns", len([]rune(line)))
	}
	for total, says := range map[int64]string{0: "x  has no content", -1: "x  waits"} {
		if line := (&Meter{}).Line("x", total, 80); !strings.HasPrefix(line, says) || strings.Contains(line, "0 B") {
			t.Errorf("of %d bytes: %q", total, line)
		}
	}
}

func TestTheLogIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLog(&out, "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not this")
	log.Sugar().Infow("a\nname", "name", "x\x1b\n")
	var v map[string]any
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["message"] != "a\nname" || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err := NewLog(&out, "loud"); err == nil {
		t.Error("a level that does not exist was taken")
	}
}

type halves struct{ N int }

func (h halves) Failure() error {
	if h.N%2 == 1 {
		return Fail(Refused, "%d is odd", h.N)
	}
	return nil
}

func TestWhatFailedIsShownInJSONWhereThereIsSomethingToShow(t *testing.T) {
	for args, want := range map[string]struct {
		asJSON bool
		code   int
		out    string
	}{
		"4": {true, 0, "{\n  \"N\": 4\n}\n"}, "3": {true, 4, "{\n  \"N\": 3\n}\n"}, "x": {true, 1, "null\n"}, "4 3 x": {true, 4, "[\n  {\n    \"N\": 4\n  },\n  {\n    \"N\": 3\n  }\n]\n"},
		"3 4": {false, 4, "4\n"},
	} {
		var out, errs bytes.Buffer
		c := &cobra.Command{}
		c.SetOut(&out)
		c.SetErr(&errs)
		err := Each(c, strings.Fields(args), want.asJSON, func(_ context.Context, s string) (h halves, err error) {
			h.N, err = strconv.Atoi(s)
			return h, err
		}, func(w io.Writer, h halves) { fmt.Fprintln(w, h.N) })
		if Code(err) != want.code || out.String() != want.out || strings.Contains(args, "3") != strings.Contains(errs.String(), "3: 3 is odd\n") {
			t.Errorf("%q: exit %d, %q, %q", args, Code(err), out.String(), errs.String())
		}
	}
}
