package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse/protocol/racing"
)

// thousand is how many entries the log has that is tampered with.
var thousand = racing.Part(1000)

// tampered gives a check of what somebody made of the entries of a log: it has to be found, by verify and by whatever opens the log, whichever way.
func tampered(t *testing.T, dir string) func(what string, text []byte) {
	path := segmentPath(dir, 0)
	return func(what string, text []byte) {
		t.Helper()
		write(t, text, path)
		if found := faults(t, dir); len(found) == 0 {
			t.Errorf("%s: nobody finds it", what)
		}
	}
}

func lines(text []byte) [][]byte {
	return bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func TestNoEditOfAnyEntryPasses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	written(t, dir, thousand)
	whole := read(t, segmentPath(dir, 0))
	check := tampered(t, dir)
	all := lines(whole)
	if len(all) != thousand {
		t.Fatalf("%d entries, not %d", len(all), thousand)
	}
	at := 0
	for i, l := range all {
		bit := 7919 * i % (len(l) * 8) // somewhere in it
		if i%50 == 0 {
			bit = len(l)*8 - 1 // its newline
		}
		text := bytes.Clone(whole)
		text[at+bit/8] ^= 1 << (bit % 8)
		check(fmt.Sprintf("bit %d of entry %d flipped", bit, i), text)
		other := bytes.Replace(l, []byte(`"tenant":"cssf"`), []byte(`"tenant":"ctie"`), 1)
		if i > 0 && bytes.Equal(other, l) {
			t.Fatalf("entry %d names no tenant", i)
		}
		if i%10 == 1 {
			check(fmt.Sprintf("entry %d says another tenant", i), slices.Concat(whole[:at], other, whole[at+len(l):]))
		}
		at += len(l)
	}
	write(t, whole, segmentPath(dir, 0))
	if found := faults(t, dir); len(found) > 0 {
		t.Fatalf("the whole log: %v", found)
	}
}

func TestNoEntryIsTakenOutAndNoneCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	written(t, dir, thousand)
	whole := read(t, segmentPath(dir, 0))
	check := tampered(t, dir)
	at := 0
	for i, l := range lines(whole) {
		check(fmt.Sprintf("entry %d deleted", i), slices.Concat(whole[:at], whole[at+len(l):]))
		check(fmt.Sprintf("cut off before entry %d", i), whole[:at])
		if i%10 == 0 {
			check(fmt.Sprintf("entry %d twice", i), slices.Concat(whole[:at], l, whole[at:]))
			check(fmt.Sprintf("cut off in entry %d", i), whole[:at+len(l)/2])
			check(fmt.Sprintf("cut off before the newline of entry %d", i), whole[:at+len(l)-1])
		}
		at += len(l)
	}
}

func TestNoTwoEntriesChangePlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	written(t, dir, thousand)
	whole := read(t, segmentPath(dir, 0))
	check := tampered(t, dir)
	all := lines(whole)
	all[len(all)-1] = append(bytes.Clone(all[len(all)-1]), '\n')
	for i := range all {
		for k, j := range []int{(i + 1) % len(all), (i + len(all)/2) % len(all)} {
			if k > 0 && i%10 > 0 {
				continue
			}
			swapped := slices.Clone(all)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if i%10 == 0 {
				check(fmt.Sprintf("entries %d and %d changed places", i, j), slices.Concat(swapped...))
			}
			swapped[i], swapped[j] = renumber(t, swapped[i], i), renumber(t, swapped[j], j)
			check(fmt.Sprintf("entries %d and %d changed places and numbers", i, j), slices.Concat(swapped...))
		}
	}
}

func renumber(t *testing.T, line []byte, n int) []byte {
	t.Helper()
	_, rest, ok := strings.Cut(string(line), ",")
	if !ok {
		t.Fatalf("%q is no entry", line)
	}
	return fmt.Appendf(nil, `{"n":%d,%s`, n, rest)
}

func TestNoEditOfHashesCheckpointOrKeyPasses(t *testing.T) {
	dir := t.TempDir()
	written(t, dir, thousand)
	for _, name := range []string{hashesName, checkpointName, publicName} {
		path := filepath.Join(dir, name)
		whole := read(t, path)
		step := max(1, len(whole)/300)
		for i := 0; i < len(whole); i += step {
			text := bytes.Clone(whole)
			text[i] ^= 1 << (i % 8)
			write(t, text, path)
			if name == publicName && strings.EqualFold(string(text), string(whole)) {
				continue // the hexadecimal digits of its hash have no case
			}
			if len(faults(t, dir)) == 0 {
				t.Errorf("%s: bit %d of byte %d flipped: nobody finds it", name, i%8, i)
			}
			if i%7 == 0 {
				write(t, whole[:i], path)
				if len(faults(t, dir)) == 0 {
					t.Errorf("%s: cut to %d bytes: nobody finds it", name, i)
				}
			}
		}
		write(t, whole, path)
	}
	if found := faults(t, dir); len(found) > 0 {
		t.Fatalf("the whole log: %v", found)
	}
}

// Whoever has no key can make all files agree but for the checkpoint.
func TestALogThatIsWrittenAnewNeedsTheKey(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	written(t, dir, 100)
	forged := written(t, other, 100)
	must(t, forged.Append(Entry{Event: "imported"}))
	must(t, forged.Settle())
	for _, name := range []string{hashesName, checkpointName, filepath.Join(entriesDir, segmentName(0))} {
		write(t, read(t, other, name), dir, name)
	}
	if found := faults(t, dir); len(found) == 0 || !strings.Contains(found[0].Text, "not signed by the key") {
		t.Errorf("a log with another's checkpoint: %v", found)
	}
}

func TestALogThatWasPutBackShowsAgainstACheckpointThatWasKept(t *testing.T) {
	dir := t.TempDir()
	l := written(t, dir, 100)
	names := []string{hashesName, checkpointName, filepath.Join(entriesDir, segmentName(0))}
	older := make(map[string][]byte)
	for _, name := range names {
		older[name] = read(t, dir, name)
	}
	for i := range 100 {
		must(t, l.Append(some(i)))
	}
	must(t, l.Settle())
	kept := read(t, dir, checkpointName)
	for _, name := range names {
		write(t, older[name], dir, name)
	}
	r, err := Verify(reader(dir), nil, "", nil)
	if err != nil || len(r.Faults) > 0 {
		t.Fatalf("an older log agrees with itself: %v, %v", r, err)
	}
	r, err = Verify(reader(dir), kept, "", nil)
	if err != nil || len(r.Faults) == 0 || !strings.Contains(r.Faults[0].Text, "put back to an older one") {
		t.Errorf("against the checkpoint that was kept: %v, %v", r, err)
	}
	// It goes on, and gets longer than it was.
	again := open(t, dir)
	for i := range 500 {
		must(t, again.Append(some(i+7)))
	}
	must(t, again.Settle())
	r, err = Verify(reader(dir), kept, "", nil)
	if err != nil || len(r.Faults) == 0 || !strings.Contains(r.Faults[0].Text, "not those of the checkpoint that was kept") {
		t.Errorf("against the checkpoint that was kept, after it went on: %v, %v", r, err)
	}
}

func TestADamagedLogIsSetAsideAndTheNewOneSaysSo(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"an entry is changed": func(dir string) error {
			text := read(t, segmentPath(dir, 0))
			return os.WriteFile(segmentPath(dir, 0), bytes.Replace(text, []byte("cssf"), []byte("cssg"), 1), 0o600)
		},
		"entries are cut off":    func(dir string) error { return os.Truncate(segmentPath(dir, 0), 5000) },
		"entries are gone":       func(dir string) error { return os.Remove(segmentPath(dir, 0)) },
		"the checkpoint is gone": func(dir string) error { return os.Remove(filepath.Join(dir, checkpointName)) },
		"the key is gone":        func(dir string) error { return os.Remove(filepath.Join(dir, keyName)) },
		"the key is damaged":     func(dir string) error { return os.Truncate(filepath.Join(dir, keyName), 40) },
		"a file is no segment":   func(dir string) error { return os.WriteFile(filepath.Join(dir, entriesDir, "x"), nil, 0o600) },
	} {
		dir := t.TempDir()
		must(t, written(t, dir, 100).Close())
		must(t, damage(dir))
		l := open(t, dir)
		if !l.Aside() || !l.Fresh() || len(l.Findings()) == 0 {
			t.Errorf("%s: it is opened as if nothing were", name)
			continue
		}
		must(t, l.Append(some(1)))
		must(t, l.Settle())
		first, err := reader(dir).Entry(0)
		aside, _ := Damaged(disk0, dir)
		if err != nil || first.Event != "begun" || first.Text == "" || len(aside) != 1 || !strings.Contains(string(first.Data), aside[0]) {
			t.Errorf("%s: the new one begins with %+v, %v; aside %v", name, first, err, aside)
		}
		r, err := Verify(reader(dir), nil, "", nil)
		if err != nil || len(r.Faults) > 0 || len(r.Notes) == 0 {
			t.Errorf("%s: the new one: %+v, %v", name, r, err)
		}
		must(t, l.Close())
		if again := open(t, dir); again.Aside() {
			t.Errorf("%s: and again at the next start", name)
		}
	}
}

func TestHashesAreMadeAgain(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"gone":  os.Remove,
		"short": func(path string) error { return os.Truncate(path, 1000) },
		"wrong": func(path string) error {
			text := read(t, path)
			text[40] ^= 1
			text[len(text)-5] ^= 1
			return os.WriteFile(path, text, 0o600)
		},
		"wrong at a leaf": func(path string) error {
			text := read(t, path)
			text[tlog.StoredHashIndex(0, 50)*tlog.HashSize] ^= 1
			return os.WriteFile(path, text, 0o600)
		},
	} {
		dir := t.TempDir()
		must(t, written(t, dir, 100).Close())
		must(t, damage(filepath.Join(dir, hashesName)))
		l := open(t, dir)
		if l.Aside() || len(l.Findings()) == 0 {
			t.Errorf("%s: aside %v, %v", name, l.Aside(), l.Findings())
		}
		must(t, l.Append(some(1)))
		must(t, l.Settle())
		if found := faults(t, dir); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}
