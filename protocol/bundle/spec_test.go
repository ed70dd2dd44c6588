package bundle

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// section gives one numbered section of the book.
func section(t *testing.T, number int) string {
	t.Helper()
	text, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), fmt.Sprintf("\n## %d. ", number))
	if !ok {
		t.Fatalf("SPEC.md has no section %d", number)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

func TestReasonsAreThoseOfTheSpec(t *testing.T) {
	var want, got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(section(t, 12), -1) {
		want = append(want, strings.Join(row[1:], " | "))
	}
	for _, r := range Reasons() {
		got = append(got, fmt.Sprintf("%s | %s | %s", r, r.Where(), r.Meaning()))
		if parsed, err := ParseReason(string(r)); parsed != r || err != nil {
			t.Errorf("ParseReason(%q) = %q, %v", r, parsed, err)
		}
	}
	if len(want) < 70 || !slices.Equal(got, want) {
		t.Errorf("the table of reasons has\n%s\nSPEC.md has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	seen := map[Reason]bool{}
	for _, r := range Reasons() {
		if seen[r] || !slices.Contains([]string{"packet", "block", "session", "record", "bundle", "ticket", "decision"}, r.Where()) {
			t.Errorf("reason %q stands twice, or has no known place %q", r, r.Where())
		}
		seen[r] = true
	}
}

func TestWhatIsNoReasonIsRefused(t *testing.T) {
	for _, s := range []string{"", "Packet-Length", "packet-length ", "packet_length", "none"} {
		if r, err := ParseReason(s); err == nil || r != "" || Reason(s).Where() != "" || Reason(s).Meaning() != "" {
			t.Errorf("%q passes as a reason", s)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Reject takes a reason that is none")
		}
	}()
	_ = Reject("no-such-reason", "M-1", "x")
}

// A limit of the book that differs from the constant is wrong in one of the two.
func TestLimitsAreThoseOfTheSpec(t *testing.T) {
	rows := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \| `).FindAllStringSubmatch(section(t, 1), -1) {
		rows[row[1]] = row[2]
	}
	for name, want := range map[string]string{
		"MTU":                     fmt.Sprintf("%s to %s", commas(MinMTU), commas(MaxMTU)),
		"shard":                   fmt.Sprintf("a multiple of %d, %s to %s", ShardMultiple, commas(MinShard), commas(MaxShard)),
		"data shards k":           "1 to " + commas(MaxDataShards),
		"parity shards m":         "1 to " + commas(MaxParityShards),
		"chunk, raw":              "1 to " + commas(ChunkSizeMax),
		"runs in a chunk":         "1 to " + commas(MaxRuns),
		"files in a bundle":       commas(MaxFiles),
		"directories in a bundle": commas(MaxDirs),
		"manifest":                commas(MaxManifest),
		"bytes in a bundle":       "2^46 (64 TiB)",
		"chunks in a bundle, manifest's included": "2^24 + 2^18",
		"records in a block":                      commas(MaxRecords),
		"tenants in a heartbeat":                  commas(MaxTenants),
		"tenant, sender, receiver name":           "1 to " + commas(MaxName),
		"path":                                    fmt.Sprintf("%s; %d levels; %d a name", commas(MaxPath), MaxDepth, MaxComponent),
		"labels in a manifest":                    fmt.Sprintf("%d; key 1 to %d, value %d", MaxLabels, MaxLabelKey, MaxLabelValue),
		"sequence":                                "1 to 2^53 - 1",
		"created":                                 "1970 to 9999",
		"signature":                               fmt.Sprintf("%d to %s", MinSignature, commas(MaxSignature)),
		"announcement":                            fmt.Sprintf("1 to %d parts of 1,408", MaxParts),
		"links in a session":                      fmt.Sprintf("1 to %d", MaxLinks),
		"replay window":                           commas(ReplayWindow) + " packets",
	} {
		if rows[name] != want {
			t.Errorf("%s: the code has %q, SPEC.md %q", name, want, rows[name])
		}
	}
	if MaxBytes != 1<<46 || MaxChunks != 1<<24+1<<18 || MaxSequence != 1<<53-1 || MaxBytes/ChunkSizeMax != MaxContentChunks {
		t.Error("a power of two is not the one of SPEC.md")
	}
	if ManifestChunks(MaxManifest, ChunkSizeMin) > MaxChunks-MaxContentChunks {
		t.Error("the largest manifest in the smallest chunks has no numbers left")
	}
}

func commas(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func TestARejectionIsPrintableAndBounded(t *testing.T) {
	long := Reject(ReasonQuota, "M-2", "%s", strings.Repeat("é\n\x1b]8;;\u202e\xff", 100))
	if len(long.Detail) > maxDetail {
		t.Errorf("a detail of %d bytes", len(long.Detail))
	}
	for _, r := range long.Detail {
		if !strconv.IsPrint(r) {
			t.Errorf("a detail with %q", r)
		}
	}
	r := Reject(ReasonManifestTree, "M-3", "two").about("a\n\"" + strings.Repeat("x", 5000))
	if len(r.Names[0]) > MaxPath || len(r.Error()) > maxDetail+2*maxShown || strings.ContainsRune(r.Error(), '\n') {
		t.Errorf("the error shows %d bytes of a name: %s", len(r.Names[0]), r)
	}
	if want := `quota (M-2): 1: "a", "b\x00"`; (&Rejection{ReasonQuota, "M-2", "1", []string{"a", "b\x00"}}).Error() != want {
		t.Errorf("%s, want %s", (&Rejection{ReasonQuota, "M-2", "1", []string{"a", "b\x00"}}).Error(), want)
	}
	wrapped := fmt.Errorf("finish: %w", errors.Join(errors.New("x"), r))
	if got, ok := ReasonOf(wrapped); got != ReasonManifestTree || !ok {
		t.Errorf("ReasonOf = %q, %v", got, ok)
	}
	if got, ok := ReasonOf(errors.New("disk")); got != "" || ok {
		t.Errorf("ReasonOf an error of ours = %q, %v", got, ok)
	}
}
