package ledger

import (
	"path/filepath"
	"testing"

	"ecluse/internal/journal"
)

// A record of before inspectors had a configuration and findings were seen is read as it was.
func TestARecordOfBeforeInspectorsIsRead(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving, Quarantined)
	name := id(1).String()
	text := `{"bundle":"` + name + `","tenant":"cssf","sender":"low","epoch":"` + name + `","sequence":1,"name":"x","state":"imported","verdict":"clean","reason":null,"files":1,"bytes":1,
"missing_bytes":0,"created":null,"received":null,"changed":"2026-09-22T12:00:00Z",
"inspections":[{"inspector":"policy","version":"rules 0123456789abcdef","verdict":"flagged","findings":[{"reason":"policy-text","path":"x","text":"y"}],"files":1,"at":"2026-09-22T12:00:00Z"}]}`
	err := b.disk.Replace(filepath.Join(b.dir, "bundles", name[:2], name+".json"), journal.Seal([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadRecord(b.disk, b.dir, id(1))
	if err != nil {
		t.Fatal(err)
	}
	n := r.Inspections[0]
	if n.Inspector != "policy" || n.Rules != "" || n.Version != "rules 0123456789abcdef" || n.Verdict != Flagged || n.Signed != nil || n.Seen != nil || r.Unseen() == nil {
		t.Errorf("%+v", n)
	}
}
