package ledger

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

// lived is a book with a bundle in every state, and some of everything else.
func lived(t *testing.T, dir string) *book {
	t.Helper()
	b := chained(t, dir)
	b.Beat("s", "t", paired, Head{Sequence: 6, Digest: digest(6)})
	n := 10
	for _, road := range roads {
		n++
		b.goes(n, road...)
	}
	err := b.Change(t.Context(), id(1), func(r *Record) error {
		r.State, r.Verdict, r.Reason, r.Detail, r.Key = Approved, ptr(Clean), ptr("not-inspected"), "d", "SHA256:x"
		r.Decisions = []Decision{{Approve: true, Who: "é", UID: 1000, Reason: "why", At: start}}
		r.Deliveries = []Delivery{{Destination: "d", Name: "n", Inode: 1 << 60, Done: ptr(start), Error: "e"}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// all gives every line of the catalog and every record, of the states that have record files.
func (b *book) all() (rows []Row, records []*Record) {
	b.t.Helper()
	if err := b.flushHeads(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	for _, r := range b.rows(Query{}) {
		if r.State == Receiving || r.State == Damaged {
			continue
		}
		rows = append(rows, r)
		if r.Bundle != nil {
			id, _ := bundle.ParseID(*r.Bundle)
			record, err := b.Get(id)
			if err != nil {
				b.t.Fatal(err)
			}
			records = append(records, record)
		}
	}
	return rows, records
}

func TestReopeningGivesTheSameRowsAndRecords(t *testing.T) {
	dir := t.TempDir()
	b := lived(t, dir)
	rows, records := b.all()
	states := make(map[State]bool)
	for _, r := range rows {
		states[r.State] = true
	}
	if len(states) != len(States())-2 || len(b.rows(Query{State: Receiving})) == 0 {
		t.Fatalf("of the states only %v are there", states)
	}
	for _, how := range []string{"closed in order", "killed", "killed, and its catalog lost"} {
		b.end(how == "closed in order")
		if strings.HasSuffix(how, "lost") {
			loseCatalog(t, dir)
		}
		b = open(t, dir)
		if strings.HasSuffix(how, "lost") {
			b.Beat("s", "t", paired, Head{Sequence: 6, Digest: digest(6)}) // it is heard every second
		}
		gotRows, gotRecords := b.all()
		if strings.HasSuffix(how, "lost") { // and with it, since when something is missing
			for i := range rows {
				rows[i].Since, gotRows[i].Since = nil, nil
			}
		}
		if !reflect.DeepEqual(gotRows, rows) || !reflect.DeepEqual(gotRecords, records) {
			t.Errorf("%s:\n%+v\n%+v\nwere\n%+v\n%+v", how, gotRows, gotRecords, rows, records)
		}
		if n := len(b.rows(Query{State: Receiving})) + len(b.rows(Query{State: Damaged})); n != 0 {
			t.Errorf("%s: %d bundles are coming in that nobody has staged", how, n)
		}
	}
	b.end(true)
}

// What was refused for want of room, and was coming in when the life ended, is refused again where nobody has staged it.
func TestWhatComesInAfterItWasRefusedIsRefusedWithoutItsStaging(t *testing.T) {
	for _, orderly := range []bool{true, false} {
		dir := t.TempDir()
		b := open(t, dir)
		refused := func(r *Record) error {
			describe(r)
			r.State, r.Reason = Refused, ptr(string(bundle.ReasonQuota))
			return nil
		}
		if err := b.Change(t.Context(), id(1), refused); err != nil {
			t.Fatal(err)
		}
		want := b.rows(Query{})
		b.goes(1, Receiving)
		b.end(orderly)
		b = open(t, dir)
		if got := b.rows(Query{}); !reflect.DeepEqual(got, want) {
			t.Errorf("closed in order %v: %+v, want %+v", orderly, got, want)
		}
		b.goes(1, Receiving, Damaged)
		b.end(true)
	}
}

// Each record file that cannot be read is named, and nothing else is lost: put back, everything is there again.
func TestATornRecordIsNamedAndLosesNothingElse(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"bundle":"`, "another bundle's": `{"bundle":"` + id(9).String() + `","epoch":"` + paired.String() + `","state":"refused"}`,
		"without a state": `{"bundle":"` + id(11).String() + `","epoch":"` + paired.String() + `"}`, "zeroes": strings.Repeat("\x00", 300),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			for n := 10; n < 14; n++ {
				b.goes(n, Refused)
			}
			want, _ := b.all()
			b.end(false)
			paths := []string{RecordPath(dir, id(11)), RecordPath(dir, id(13))}
			var texts [][]byte
			for _, p := range paths {
				text, err := os.ReadFile(p)
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, text)
				if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := closed(t, dir); err == nil || !strings.Contains(err.Error(), paths[0]) || !strings.Contains(err.Error(), paths[1]) {
				t.Fatalf("%v, want both names", err)
			}
			for i, p := range paths {
				if err := os.WriteFile(p, texts[i], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b = open(t, dir)
			defer b.end(true)
			if got, _ := b.all(); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestWhatARecordWriterLeftBehindIsNoRecord(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	b.goes(1, Refused)
	b.end(false)
	for _, name := range []string{id(1).String() + ".json.ecluse-tmp", "x.json", id(2).String()} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(RecordPath(dir, id(1))), name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b = open(t, dir)
	defer b.end(true)
	if rows := b.rows(Query{}); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestATornChainIsNamed(t *testing.T) {
	dir := t.TempDir()
	chained(t, dir).end(true)
	path := filepath.Join(dir, "chains", "s.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range []string{"", string(text[:len(text)/2]), strings.Replace(string(text), `"s"`, `"r"`, 1)} {
		if err := os.WriteFile(path, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := closed(t, dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want the name of the file", torn, err)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir)
	defer b.end(true)
	if e, ok := b.Paired("s"); e != paired || !ok || b.state(1) != Quarantined {
		t.Errorf("paired with %v", e)
	}
}
