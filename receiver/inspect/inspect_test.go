package inspect

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/internal/scanners"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Every chain of up to three, with every evidence that each could have: clean is said only where each one has said it, by the rules that it has now.
func TestNoWayToCleanLeavesOneOut(t *testing.T) {
	steps := []Step{{Name: "policy", Version: "rules 1"}, {Name: "antivirus", Rules: "config 1"}, {Name: "own", Rules: "config 2"}}
	said := func(s Step, how string) []ledger.Inspection {
		n := ledger.Inspection{Inspector: s.Name, Rules: s.Rules, Version: "any", Verdict: ledger.Clean}
		if s.Version != "" {
			n.Version = s.Version
		}
		switch how {
		case "nothing":
			return nil
		case "flagged":
			n.Verdict, n.Findings = ledger.Flagged, []ledger.Finding{{}}
		case "clean with findings":
			n.Findings = []ledger.Finding{{}}
		case "clean with more":
			n.More = 1
		case "no verdict":
			n.Verdict = ""
		case "of other rules":
			n.Rules += "0"
		case "of another version":
			n.Version += "0"
		case "by another":
			n.Inspector += "0"
		}
		return []ledger.Inspection{n}
	}
	ways := []string{"clean", "nothing", "flagged", "clean with findings", "clean with more", "no verdict", "of other rules", "of another version", "by another"}
	counts := make(map[Word]int)
	for length := range len(steps) + 1 {
		required := steps[:length]
		for _, a := range ways {
			for _, b := range ways {
				for _, c := range ways {
					how := []string{a, b, c}
					var have []ledger.Inspection
					for i, s := range steps {
						have = append(have, said(s, how[i])...)
					}
					want, by := Clean, ""
					for i := length - 1; i >= 0; i-- { // the first that flags is named
						switch how[i] {
						case "flagged", "clean with findings", "clean with more", "no verdict":
							by = steps[i].Name
						case "clean":
						case "of another version":
							if steps[i].Version != "" {
								want = Waiting
							}
						default:
							want = Waiting
						}
					}
					if by != "" {
						want = Flagged
					}
					if length == 0 {
						want, by = Nobody, ""
					}
					word, n := Judge(required, have)
					if word != want || (n == nil) != (by == "") || n != nil && n.Inspector != by || word.Passes() != (want == Clean || want == Nobody) {
						t.Fatalf("%d required, said %v: %v by %+v, want %v by %q", length, how, word, n, want, by)
					}
					counts[word]++
				}
			}
		}
	}
	for _, w := range []Word{Waiting, Nobody, Clean, Flagged} {
		if counts[w] == 0 {
			t.Errorf("%v was never said: the test says nothing of it", w)
		}
	}
	if Word(0).Passes() {
		t.Error("what is not known passes")
	}
}

// unzip reads the entries of a zip archive.
func unzip(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	must(t, err)
	all := make(map[string][]byte)
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		content, err := io.ReadAll(r) // holds the sum against it
		must(t, err)
		all[f.Name] = content
	}
	return all
}

func TestSamplesAreWhatTheySay(t *testing.T) {
	virus := testVirus()
	if len(virus) != 68 || !bytes.Equal(virus, scanners.TestVirus()) {
		t.Errorf("the test virus has %d bytes", len(virus))
	}
	text := nested(nestedDepth)
	for range nestedDepth - 1 {
		if bytes.Contains(text, virus) {
			t.Fatal("the virus shows from outside")
		}
		text = unzip(t, text)["a.zip"]
	}
	if got := unzip(t, text)["eicar.com"]; !bytes.Equal(got, virus) {
		t.Errorf("in the innermost archive stands %q", got)
	}
	for _, size := range []int64{paddedLeast, 1 << 20, 1<<20 + 1, 3_000_017} {
		text, err := io.ReadAll(padded(size))
		must(t, err)
		all := unzip(t, text)
		if int64(len(text)) != size || !bytes.Equal(all["eicar.com"], virus) || len(bytes.Trim(all["zeros"], "\x00")) > 0 || bytes.Contains(text, virus) {
			t.Errorf("an archive of %d bytes has %d, and holds %q and %d zeros", size, len(text), all["eicar.com"], len(all["zeros"]))
		}
	}
	if roundUp(1) != 1<<20 || roundUp(1<<20) != 1<<20 || roundUp(1<<20+1) != 2<<20 || roundUp(paddedMost) != paddedMost {
		t.Error("sizes are not rounded up")
	}
}

// said is an inspector that answers as it is told.
type said struct {
	answer *Answer
	err    error
	wait   bool
}

func (s *said) Ready(context.Context) (Version, error) { return Version{}, nil }

func (s *said) Look(ctx context.Context, _ Item) (*Answer, error) {
	if s.wait {
		<-ctx.Done()
		return nil, errors.New("an i/o timeout")
	}
	return s.answer, s.err
}

func TestEvidenceIsBounded(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var findings []ledger.Finding
	for range 100 {
		findings = append(findings, ledger.Finding{Reason: bundle.ReasonMalware, Path: long, Text: long})
	}
	signed := time.Unix(5, 0)
	a := Asked{Step: Step{Name: "own", Rules: "config 1"}, Timeout: time.Minute, Inspector: &said{answer: &Answer{Version: Version{Text: long, Signed: &signed}, Findings: findings, More: 3, Files: 7}}}
	n, err := a.Ask(t.Context(), Item{}, time.Now)
	must(t, err)
	if n.Inspector != "own" || n.Rules != "config 1" || n.Verdict != ledger.Flagged || len(n.Findings) < 5 || len(n.Findings)+n.More != 103 || len(n.Findings)*2*textMost > 2*textsMost || n.Files != 7 || n.Signed != &signed {
		t.Errorf("%+v", n)
	}
	for _, text := range []string{n.Version, n.Findings[0].Path, n.Findings[0].Text} {
		if len(text) > 2*textMost {
			t.Errorf("a text of %d bytes is kept", len(text))
		}
	}
	a.Inspector = &said{answer: &Answer{}}
	if n, err = a.Ask(t.Context(), Item{}, time.Now); err != nil || n.Verdict != ledger.Clean {
		t.Errorf("%+v, %v", n, err)
	}
	a.Inspector = &said{wait: true}
	a.Timeout = 10 * time.Millisecond
	if n, err = a.Ask(t.Context(), Item{}, time.Now); err == nil || err.Error() != "own: it took longer than 10ms" {
		t.Errorf("%+v, %v", n, err)
	}
	if got := TimeFor(time.Minute, 100<<20, 1_000_999); got != 1070*time.Second { // a million small files, each with its signature, take some four minutes of one core
		t.Errorf("100 MiB may take %v", got)
	}
}

func TestWhatAConfigurationSaysHasAName(t *testing.T) {
	names := []string{RulesOf("a"), RulesOf("b"), RulesOf([]string{"a"}), RulesOf(struct{ A string }{"a"})}
	slices.Sort(names)
	if len(slices.Compact(names)) != 4 || RulesOf("a") != RulesOf("a") || !strings.HasPrefix(names[0], "config ") {
		t.Errorf("%v", names)
	}
}
