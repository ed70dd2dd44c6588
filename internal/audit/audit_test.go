package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"ecluse/internal/disk"
)

var disk0 = disk.New()

func TestALineHasOneForm(t *testing.T) {
	e := some(3)
	e.N, e.At, e.Text, e.Name = 17, time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.FixedZone("", 3600)), "a <b> \"c\"\n", "größe\u2028"
	line, err := e.Line()
	must(t, err)
	got, err := Parse(line)
	if err != nil || got.N != 17 || got.Text != e.Text || got.Name != e.Name || !got.At.Equal(e.At.Truncate(time.Millisecond)) {
		t.Fatalf("%s came back as %+v, %v", line, got, err)
	}
	for n := range line {
		if _, err := Parse(line[:n]); err == nil {
			t.Errorf("cut to %d bytes: it is taken", n)
		}
	}
	for name, other := range map[string]string{
		"a space":        strings.Replace(string(line), ",", ", ", 1),
		"a newline":      string(line) + "\n",
		"two values":     string(line) + "{}",
		"an unknown key": strings.Replace(string(line), `{"n"`, `{"x":1,"n"`, 1),
		"a key twice":    strings.Replace(string(line), `{"n":17`, `{"n":17,"n":17`, 1),
		"another order":  strings.Replace(string(line), `"tenant":"cssf","sender":"ctie-low"`, `"sender":"ctie-low","tenant":"cssf"`, 1),
		"a null":         strings.Replace(string(line), `"tenant":"cssf"`, `"tenant":null`, 1),
		"an empty text":  strings.Replace(string(line), `"tenant":"cssf"`, `"tenant":""`, 1),
		"upper case":     strings.Replace(string(line), `"tenant"`, `"Tenant"`, 1),
		"a plus":         strings.Replace(string(line), `"n":17`, `"n":+17`, 1),
		"a float":        strings.Replace(string(line), `"n":17`, `"n":17.0`, 1),
		"another zone":   strings.Replace(string(line), "11:00:00.123Z", "12:00:00.123+01:00", 1),
		"nanoseconds":    strings.Replace(string(line), "11:00:00.123Z", "11:00:00.123456Z", 1),
		"another escape": strings.Replace(string(line), `\u003c`, `<`, 1),
		"an event":       strings.Replace(string(line), `"quarantined"`, `"Quarantined!"`, 1),
		"a digest":       strings.Replace(string(line), `"record":"`, `"record":"0`, 1),
	} {
		if other == string(line) {
			t.Fatalf("%s: it is the same", name)
		}
		if _, err := Parse([]byte(other)); err == nil {
			t.Errorf("%s: it is taken: %s", name, other)
		}
	}
}

func TestALineIsWhatTheJSONPackageWrites(t *testing.T) {
	texts := []string{"", "x", "a b", "\"", "\\", "<", ">", "&", "\n", "\x00", "\x7f", "ü", "\u2028", "\xff", "🙂", "~", " "}
	for i := range 400 {
		pick := func(n int) string { return texts[(i*(2*n+1)+i/17)%len(texts)] }
		e := Entry{N: uint64(i), At: clock()(), Event: "x-y", Bundle: pick(0), Tenant: pick(1), Sender: pick(2), Sequence: uint64(i % 3), Name: pick(3), State: pick(4), Verdict: pick(5),
			Reason: pick(6), Who: pick(7), Text: pick(8)}
		if i%2 == 0 {
			e.Data = json.RawMessage(` { "a" : [1, "<" ] } `)
		}
		want, err := json.Marshal(&e)
		must(t, err)
		if got, err := e.Line(); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s, %v, not %s", got, err, want)
		}
	}
	for _, event := range []string{"", "-", "a-", "-a", "a--b", "A", "a b", "a1"} {
		if _, err := (&Entry{Event: event}).Line(); err == nil {
			t.Errorf("an event %q", event)
		}
	}
}

func TestTheTreeIsThatOfTlog(t *testing.T) {
	var mine tree
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (all []tlog.Hash, err error) {
		for _, i := range at {
			all = append(all, stored[i])
		}
		return all, nil
	})
	for n := range int64(300) {
		want, err := tlog.StoredHashes(n, []byte{byte(n), byte(n >> 8)}, reader)
		must(t, err)
		got := mine.add(tlog.RecordHash([]byte{byte(n), byte(n >> 8)}), nil)
		if len(got) != len(want) {
			t.Fatalf("%d hashes with entry %d, not %d", len(got), n, len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("hash %d of entry %d is another", i, n)
			}
		}
		stored = append(stored, want...)
		root, err := tlog.TreeHash(n+1, reader)
		must(t, err)
		again, err := grow(uint64(n+1), reader)
		must(t, err)
		if mine.root() != root || again.root() != root {
			t.Fatalf("the root over %d entries is another", n+1)
		}
	}
}

func TestOtherToolsReadTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l := written(t, dir, 10)
	v, err := note.NewVerifier(l.Public())
	must(t, err)
	n, err := note.Open(read(t, dir, checkpointName), note.VerifierList(v))
	must(t, err)
	size, root := l.Place()
	if want := "ecluse-test\n10\n" + root.String() + "\n"; n.Text != want || size != 10 {
		t.Errorf("the checkpoint says %q, not %q", n.Text, want)
	}
	if text := strings.TrimSpace(string(read(t, dir, publicName))); text != l.Public() {
		t.Errorf("%s beside the log, %s in it", text, l.Public())
	}
}

func TestAProofHoldsByTheKeyAlone(t *testing.T) {
	dir := t.TempDir()
	l := written(t, dir, 100)
	early := read(t, dir, checkpointName)
	for i := range 33 {
		must(t, l.Append(some(i)))
	}
	must(t, l.Settle())
	key, err := ParseKey(l.Public())
	must(t, err)
	for n := range uint64(133) {
		p, err := reader(dir).Prove(n, nil, "")
		must(t, err)
		text, err := json.Marshal(p)
		must(t, err)
		var back Proof
		must(t, json.Unmarshal(text, &back))
		if e, err := back.Check(key); err != nil || e.N != n {
			t.Fatalf("entry %d: %+v, %v", n, e, err)
		}
		if n > 0 {
			back.Entry = strings.Replace(back.Entry, "cssf", "cssg", 1)
			if _, err := back.Check(key); err == nil {
				t.Errorf("entry %d: what was changed is proved", n)
			}
		}
		back = *p
		back.Proof = append([]tlog.Hash(nil), p.Proof...)
		back.Proof[0][0] ^= 1
		if _, err := back.Check(key); err == nil {
			t.Errorf("entry %d: a wrong way to the root is taken", n)
		}
		_, err = reader(dir).Prove(n, early, "")
		if (err == nil) != (n < 100) {
			t.Errorf("entry %d against the checkpoint of 100: %v", n, err)
		}
	}
	if _, err := reader(dir).Prove(133, nil, ""); !errors.Is(err, ErrNone) {
		t.Errorf("an entry that is not there: %v", err)
	}
	_, public, err := newKey(strings.NewReader(strings.Repeat("x", 64)), "ecluse-test")
	must(t, err)
	other, err := ParseKey(public)
	must(t, err)
	p, err := reader(dir).Prove(1, nil, "")
	must(t, err)
	if _, err := p.Check(other); err == nil {
		t.Error("the key of another log is taken")
	}
}

func TestALogGoesOnInAnotherFile(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	big := some(1)
	big.Text = strings.Repeat("x", 1<<19)
	for range 40 { // 20 MiB
		must(t, l.Append(big, some(2)))
	}
	must(t, l.Settle())
	must(t, l.Append(some(3)))
	must(t, l.Close())
	firsts, err := segments(disk0, dir)
	if err != nil || len(firsts) != 3 || firsts[0] != 0 {
		t.Fatalf("files begin with %v, %v", firsts, err)
	}
	if found := faults(t, dir); len(found) > 0 {
		t.Fatal(found)
	}
	l = open(t, dir)
	if tail := l.Tail(); len(tail) != 1 || tail[0].N != 81 {
		t.Errorf("behind the checkpoint stands %+v", tail)
	}
	all, err := reader(dir).List(Query{})
	if err != nil || len(all) != 82 {
		t.Errorf("%d entries, %v", len(all), err)
	}
	for _, n := range []uint64{0, firsts[1] - 1, firsts[1], firsts[2], 81} {
		if e, err := reader(dir).Entry(n); err != nil || e.N != n {
			t.Errorf("entry %d: %+v, %v", n, e, err)
		}
	}
	must(t, l.Close())
	for _, first := range firsts[1:] {
		text := read(t, segmentPath(dir, first))
		must(t, os.Remove(segmentPath(dir, first)))
		if len(faults(t, dir)) == 0 {
			t.Errorf("the file from %d is gone: nobody finds it", first)
		}
		write(t, text, segmentPath(dir, first))
	}
}

func TestListSelects(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := 1; i < 200; i++ {
		e := some(i)
		if i%2 == 0 {
			e.Tenant = "other"
		}
		must(t, l.Append(e))
	}
	since, err := reader(dir).Entry(150)
	must(t, err)
	before := uint64(100)
	for name, c := range map[string]struct {
		q           Query
		count       int
		first, last uint64
	}{
		"all":              {Query{}, 200, 0, 199},
		"the newest":       {Query{Limit: 10}, 10, 190, 199},
		"before one":       {Query{Limit: 10, Before: &before}, 10, 90, 99},
		"of a bundle":      {Query{Bundle: "bundle00000000000000000007"}, 4, 7, 157},
		"of some bundles":  {Query{Bundle: "bundle0000000000000000000"}, 39, 1, 159},
		"of a tenant":      {Query{Tenant: "other"}, 99, 2, 198},
		"since":            {Query{Since: since.At}, 50, 150, 199},
		"since, of one":    {Query{Since: since.At, Tenant: "other"}, 25, 150, 198},
		"what there isn't": {Query{Tenant: "nobody"}, 0, 0, 0},
	} {
		got, err := reader(dir).List(c.q)
		if err != nil || len(got) != c.count || c.count > 0 && (got[0].N != c.first || got[len(got)-1].N != c.last) {
			t.Errorf("%s: %d entries, %v", name, len(got), err)
		}
	}
}

func TestATornEndIsCutOffAndAnEntrySaysSo(t *testing.T) {
	for name, tail := range map[string]string{
		"half a line":   `{"n":13,"at":"2026-`,
		"zeroes":        strings.Repeat("\x00", 700),
		"a line of one": "x\n",
		"a later one":   `{"n":14,"at":"2026-01-31T12:00:00Z","event":"x"}` + "\n",
	} {
		dir := t.TempDir()
		l := written(t, dir, 10)
		for i := range 3 {
			must(t, l.Append(some(i)))
		}
		must(t, l.Close())
		text := read(t, segmentPath(dir, 0))
		write(t, append(text, tail...), segmentPath(dir, 0))
		l = open(t, dir)
		if got := l.Tail(); l.Aside() || len(got) != 3 || got[0].N != 10 {
			t.Errorf("%s: behind the checkpoint stands %+v", name, got)
		}
		must(t, l.Settle())
		e, err := reader(dir).Entry(13)
		if err != nil || e.Event != "cut" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if found := faults(t, dir); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestRecordsAreHeldAgainstTheirLastEntries(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	a, b, c := some(1), some(2), some(3)
	must(t, l.Append(a, b, c, Entry{Event: "purged", Bundle: c.Bundle, Record: Gone}, Entry{Event: "decided", Bundle: a.Bundle}))
	must(t, l.Settle())
	look := func(records map[string]string) []Fault {
		r, err := Verify(reader(dir), nil, "", func(yield func(bundle, digest string) error) error {
			for bundle, digest := range records {
				if err := yield(bundle, digest); err != nil {
					return err
				}
			}
			return nil
		})
		must(t, err)
		return r.Faults
	}
	if found := look(map[string]string{a.Bundle: a.Record, b.Bundle: b.Record}); len(found) > 0 {
		t.Errorf("what agrees: %v", found)
	}
	for name, records := range map[string]map[string]string{
		"another text":      {a.Bundle: b.Record, b.Bundle: b.Record},
		"one is gone":       {a.Bundle: a.Record},
		"one came back":     {a.Bundle: a.Record, b.Bundle: b.Record, c.Bundle: c.Record},
		"one nobody logged": {a.Bundle: a.Record, b.Bundle: b.Record, "x": c.Record},
	} {
		if found := look(records); len(found) != 1 {
			t.Errorf("%s: %v", name, found)
		}
	}
	// What is on its way is not settled yet: the record before still stands there, and that is no fault. After the checkpoint it is one.
	newer := some(4)
	newer.Bundle = a.Bundle
	must(t, l.Append(newer))
	if found := look(map[string]string{a.Bundle: a.Record, b.Bundle: b.Record}); len(found) > 0 {
		t.Errorf("on its way: %v", found)
	}
	must(t, l.Settle())
	if found := look(map[string]string{a.Bundle: a.Record, b.Bundle: b.Record}); len(found) != 1 {
		t.Errorf("an older record is put back: %v", found)
	}
}

func TestFactsAreToldOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	must(t, l.Facts(map[string]string{"configuration": "a", "allowed_signers": "b"}))
	must(t, l.Facts(map[string]string{"configuration": "a", "allowed_signers": "b"}))
	must(t, l.Close())
	l = open(t, dir)
	must(t, l.Facts(map[string]string{"configuration": "a", "allowed_signers": "b"}))
	must(t, l.Facts(map[string]string{"configuration": "a", "allowed_signers": "c"}))
	all, err := reader(dir).List(Query{})
	must(t, err)
	var texts []string
	for _, e := range all[1:] {
		texts = append(texts, e.Event+" "+e.Text)
	}
	if got := strings.Join(texts, "; "); got != "changed allowed_signers, configuration; changed allowed_signers" {
		t.Errorf("the log says %q", got)
	}
}

func TestACopyIsNeverReplacedByWhatKnowsLess(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	l := written(t, dir, 10)
	c, err := ParseCopy("file:" + filepath.Join(elsewhere, "checkpoint"))
	must(t, err)
	older := l.Checkpoint()
	must(t, c.Put(disk0, nil, l.Public(), older))
	must(t, l.Append(some(1)))
	must(t, l.Settle())
	must(t, c.Put(disk0, nil, l.Public(), l.Checkpoint()))
	if err := c.Put(disk0, nil, l.Public(), older); !errors.Is(err, ErrOlder) {
		t.Errorf("an older one: %v", err)
	}
	if got := read(t, c.Path); string(got) != l.Checkpoint().Text {
		t.Errorf("there stands %q", got)
	}
	var out bytes.Buffer
	must(t, Copy{Kind: "stdout"}.Put(disk0, &out, "", older))
	if got := Unline(out.Bytes()); string(got) != older.Text {
		t.Errorf("%q on stdout is %q", out.String(), got)
	}
	if got := Unline([]byte(older.Text)); string(got) != older.Text {
		t.Errorf("a checkpoint as it is: %q", got)
	}
	for _, text := range []string{"", "file:x", "File:/x", "syslog:x", "http://x"} {
		if _, err := ParseCopy(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
