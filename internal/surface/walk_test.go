package surface

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The keys of a row of `list --json`.
var (
	lowKeys  = strings.Fields("bundle tenant epoch sequence name state reason priority files bytes sent_bytes passes_done created finished")
	highKeys = strings.Fields("bundle tenant sender epoch sequence name state verdict reason files bytes missing_bytes created received through since waits")
)

// gateway is a pair of sides with two tenants: default, released by one person, and other, released by two.
type gateway struct {
	*testing.T
	low, high *side
	work      string // on the outboxes' file system
	before    map[*side]string
}

func newGateway(t *testing.T) *gateway {
	low, high := sides(t)
	low.edit("tenants:\n", "tenants:\n  - name: other\n    outbox: "+low.dir+"/outbox/other\n")
	low.edit("loss: 1%\n    burst: 10ms", "loss: 0.1%\n    burst: 1ms")
	high.edit("tenants:\n", "tenants:\n  - name: other\n    release: two\n    deliver:\n      - directory: "+high.dir+"/import/other\n")
	for _, dir := range []string{low.dir + "/outbox/other", high.dir + "/import/other"} {
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	low.pair(high, "--tenant", "default", "--tenant", "other")
	return &gateway{T: t, low: low, high: high, work: filepath.Join(low.dir, "work"), before: map[*side]string{}}
}

// drop renames something into an outbox, whole.
func (g *gateway) drop(tenant, name, text string) {
	g.Helper()
	if err := os.Rename(write(g.T, filepath.Join(g.work, name), text), filepath.Join(g.low.dir, "outbox", tenant, name)); err != nil {
		g.Fatal(err)
	}
}

// tree makes a tree with what trees have.
func (g *gateway) tree(name string) string {
	g.Helper()
	dir := filepath.Join(g.work, name)
	write(g.T, filepath.Join(dir, "a/b/deep.txt"), "deep")
	write(g.T, filepath.Join(dir, ".hidden"), "travels")
	write(g.T, filepath.Join(dir, "half.part"), "travels too")
	write(g.T, filepath.Join(dir, "nothing"), "")
	write(g.T, filepath.Join(dir, "with space, état, 名字"), strings.Repeat("0123456789", 100_000))
	if err := os.MkdirAll(filepath.Join(dir, "empty/er"), 0o755); err != nil {
		g.Fatal(err)
	}
	return dir
}

// same holds that two trees are identical: names, kinds, contents.
func (g *gateway) same(a, b string) {
	g.Helper()
	if x, y := below(g.T, a), below(g.T, b); !slices.Equal(x, y) {
		g.Errorf("%s holds %q, %s holds %q", a, x, b, y)
		return
	}
	_ = filepath.WalkDir(a, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		x, _ := os.ReadFile(path)
		y, _ := os.ReadFile(filepath.Join(b, strings.TrimPrefix(path, a)))
		if !bytes.Equal(x, y) {
			g.Errorf("%s is not what was sent", path)
		}
		return nil
	})
}

// TestAGatewayIsWhatIsReliedUpon walks one gateway from its first item to its last, in steps that build on each other.
func TestAGatewayIsWhatIsReliedUpon(t *testing.T) {
	g := newGateway(t)
	g.sendAtRest()
	high, low := g.high.start(), g.low.start()
	g.reachTaken()
	g.drops()
	g.sends()
	g.rows()
	g.queries()
	g.prefixes()
	g.decisions()
	g.deliveries()
	g.resends()
	g.quiet()
	g.tampered()
	low.stop()
	high.stop()
	for _, s := range []*side{g.low, g.high} {
		g.before[s] = s.ends(0, "", "list", "--json").out
	}
	g.ambiguous()
	g.rebuilt()
}

// sendAtRest: without a daemon an item is put into the outbox, whole, and says so.
func (g *gateway) sendAtRest() {
	g.Helper()
	file := write(g.T, filepath.Join(g.work, "early.txt"), "early")
	g.low.ends(2, "--tenant", "send", file)
	g.low.ends(3, "nobody", "send", "--tenant", "nobody", file)
	g.low.ends(2, "loud", "send", "--tenant", "default", "--priority", "loud", file)
	g.low.ends(1, "daemon is not running", "send", "--tenant", "default", "--wait", file)
	g.low.ends(1, "daemon is not running", "send", "--tenant", "default", "--priority", "urgent", file)
	g.low.ends(3, "no such file", "send", "--tenant", "default", filepath.Join(g.work, "none"))
	for _, name := range []string{".secret", "x.part", "x.tmp"} { // the daemon would never take it up
		g.low.ends(1, "", "send", "--tenant", "default", write(g.T, filepath.Join(g.work, name), "x"))
	}
	if left := below(g.T, filepath.Join(g.low.dir, "outbox")); slices.ContainsFunc(left, func(f string) bool { return !strings.HasSuffix(f, "/") }) {
		g.Errorf("a refused send leaves %q", left)
	}
	var sent struct {
		Bundle              *string
		Tenant, Name, State string
	}
	g.low.value(&sent, 0, "send", "--tenant", "default", file)
	if sent.Bundle != nil || sent.Tenant != "default" || sent.Name != "early.txt" || sent.State != "waiting" {
		g.Errorf("send at rest says %+v", sent)
	}
	if text, err := os.ReadFile(filepath.Join(g.low.dir, "outbox/default/early.txt")); err != nil || string(text) != "early" {
		g.Errorf("it does not stand in the outbox: %v", err)
	}
	g.low.ends(1, "", "send", "--tenant", "default", file) // the name is taken
}

func (g *gateway) reachTaken() {
	g.Helper()
	g.high.reach("early.txt", "quarantined")
	if r := g.low.reach("early.txt", "sent"); r.text("priority") != "normal" {
		g.Errorf("%s", r)
	}
}

// drops: a rename is taken at once, what is not an item is left alone.
func (g *gateway) drops() {
	g.Helper()
	alone := []string{".hidden", "half.part", "half.tmp"}
	for _, name := range alone {
		g.drop("default", name, "not yet")
	}
	began := time.Now()
	g.drop("default", "at once.txt", "now")
	g.low.within(5*time.Second, "a rename to be taken", func() bool { return g.low.find("at once.txt") != nil })
	if took := time.Since(began); took > 1500*time.Millisecond { // settle is 2 s
		g.Errorf("a rename was taken after %v", took)
	}
	slow := write(g.T, filepath.Join(g.low.dir, "outbox/default/written in place"), "one")
	time.Sleep(700 * time.Millisecond)
	if g.low.find(filepath.Base(slow)) != nil {
		g.Errorf("what is being written was taken")
	}
	g.low.reach("at once.txt", "sent")
	g.high.reach("at once.txt", "quarantined")
	g.high.reach(filepath.Base(slow), "quarantined")
	for _, name := range alone {
		if _, err := os.Stat(filepath.Join(g.low.dir, "outbox/default", name)); err != nil || g.low.find(name) != nil {
			g.Errorf("%s was not left alone: %v", name, err)
		}
	}
	g.drop("other", "other.txt", "of the other tenant")
	g.high.reach("other.txt", "quarantined")
}

// sends: send says which bundle it is, and with --wait ends when it is out.
func (g *gateway) sends() {
	g.Helper()
	tree := g.tree("tree")
	var sent struct {
		Bundle              *string
		Tenant, Name, State string
	}
	g.low.value(&sent, 0, "send", "--tenant", "default", "--priority", "urgent", "--wait", tree)
	if sent.Bundle == nil || sent.Tenant != "default" || sent.Name != "tree" || sent.State != "sent" {
		g.Fatalf("send --wait says %+v", sent)
	}
	r := g.low.find("tree")
	if r.text("bundle") != *sent.Bundle || r.text("priority") != "urgent" || r.text("state") != "sent" || string(r["files"]) != "5" || string(r["passes_done"]) != "1" {
		g.Errorf("%s", r)
	}
	if r := g.high.reach("tree", "quarantined"); r.text("bundle") != *sent.Bundle {
		g.Errorf("it has another name on the high side: %s", r)
	}
	one, two := write(g.T, filepath.Join(g.work, "bulk 1"), "1"), write(g.T, filepath.Join(g.work, "bulk 2"), "2")
	end := g.low.ends(3, "", "send", "--tenant", "default", "--priority", "bulk", one, filepath.Join(g.work, "none"), two)
	if strings.Count(end.out, "\n") != 2 || !strings.Contains(end.err, "none") {
		g.Errorf("not all were tried, each with a line: %q, %q", end.out, end.err)
	}
	if _, err := os.Stat(one); err != nil {
		g.Errorf("send takes its file away: %v", err)
	}
	if r := g.high.reach("bulk 2", "quarantined"); r == nil || g.low.find("bulk 1").text("priority") != "bulk" {
		g.Errorf("%s", r)
	}
}

// rows: what list --json prints has exactly its keys.
func (g *gateway) rows() {
	g.Helper()
	id, utc := regexp.MustCompile(`^[a-z2-7]{26}$`), regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	for s, keys := range map[*side][]string{g.low: lowKeys, g.high: highKeys} {
		rows := s.list()
		if len(rows) < 7 {
			g.Errorf("%d rows", len(rows))
		}
		order := map[*side]string{g.low: "created", g.high: "received"}[s]
		last := time.Time{}
		for _, r := range rows {
			if have := slices.Sorted(maps.Keys(r)); !slices.Equal(have, slices.Sorted(slices.Values(keys))) {
				g.Errorf("ecluse-%s list has %q", s.kind, have)
			}
			if !id.MatchString(r.text("bundle")) || r.text("epoch") == "" || r.text("tenant") == "" {
				g.Errorf("ecluse-%s: %s", s.kind, r)
			}
			for _, key := range []string{"created", "received", "finished"} {
				if v, ok := r[key]; ok && string(v) != "null" && !utc.MatchString(r.text(key)) {
					g.Errorf("ecluse-%s: %s is %s", s.kind, key, v)
				}
			}
			for _, key := range []string{"sequence", "files", "bytes", "sent_bytes", "missing_bytes", "passes_done"} {
				if v, ok := r[key]; ok {
					if n, err := strconv.ParseUint(string(v), 10, 64); err != nil || key == "missing_bytes" && n != 0 {
						g.Errorf("ecluse-%s: %s of %s is %s", s.kind, key, r.text("name"), v)
					}
				}
			}
			if string(r["reason"]) != "null" && s == g.low {
				g.Errorf("ecluse-%s: nothing is wrong, and reason is %s, not null", s.kind, r["reason"])
			}
			if r.time(order).Before(last) {
				g.Errorf("ecluse-%s: %s %s comes after %v", s.kind, order, r[order], last)
			}
			last = r.time(order)
			if s == g.high && (r.text("verdict") != "clean" || r.text("reason") != "not-inspected" || r.text("sender") != "low-1") {
				g.Errorf("%s", r)
			}
		}
		if text := s.ends(0, "", "list").out; strings.Count(text, "\n") != len(rows)+1 || !regexp.MustCompile(`\d\d:\d\d:\d\d [+-]\d\d:\d\d`).MatchString(text) {
			g.Errorf("ecluse-%s list shows people:\n%s", s.kind, text)
		}
	}
}

// queries: --state, --tenant, --since, --limit.
func (g *gateway) queries() {
	g.Helper()
	for s, state := range map[*side]string{g.low: "sent", g.high: "quarantined"} {
		all := s.list()
		count := func(want int, args ...string) []row {
			g.Helper()
			rows := s.list(args...)
			if len(rows) != want {
				g.Errorf("ecluse-%s list %v: %d rows, not %d", s.kind, args, len(rows), want)
			}
			return rows
		}
		count(len(all), "--state", state)
		count(0, "--state", map[*side]string{g.low: "failed", g.high: "imported"}[s])
		if rows := count(1, "--tenant", "other"); rows[0].text("name") != "other.txt" {
			g.Errorf("%s", rows)
		}
		count(len(all)-1, "--tenant", "default", "--state", state)
		count(len(all), "--since", "1h")
		count(len(all), "--since", "7d")
		count(0, "--since", "2100-01-01T00:00:00Z")
		key := map[*side]string{g.low: "created", g.high: "received"}[s]
		later := 0
		for _, r := range all {
			if !r.time(key).Before(all[3].time(key)) {
				later++
			}
		}
		count(later, "--since", all[3].text(key))
		rows := count(2, "--limit", "2")
		if rows[1].text("bundle") != all[len(all)-1].text("bundle") || rows[0].text("bundle") != all[len(all)-2].text("bundle") {
			g.Errorf("--limit 2 are not the newest, the older first: %s", rows)
		}
		count(len(all), "--limit", "0")
		s.ends(2, "dancing", "list", "--state", "dancing")
		s.ends(2, "yesterday", "list", "--since", "yesterday")
		s.ends(2, "--limit", "list", "--limit", "-1")
		s.ends(3, "nobody", "list", "--tenant", "nobody")
	}
}

// prefixes: six characters of a bundle are enough, five are not.
func (g *gateway) prefixes() {
	g.Helper()
	for _, s := range []*side{g.low, g.high} {
		id := s.find("tree").text("bundle")
		other := s.find("bulk 1").text("bundle")
		for _, prefix := range []string{id, id[:25], id[:6]} {
			var r row
			s.value(&r, 0, "show", prefix)
			if r.text("bundle") != id {
				g.Errorf("show %s: %s", prefix, r)
			}
		}
		s.ends(3, "6 characters", "show", id[:5])
		for _, none := range []string{"aaaaaaaaaa", strings.ToUpper(id), id + "a", "", "../../x", "abc%def"} {
			s.ends(3, "", "show", none)
		}
		var two []row
		s.value(&two, 0, "show", id, other)
		if len(two) != 2 || two[0].text("bundle") != id || two[1].text("bundle") != other {
			g.Errorf("show of two: %s", two)
		}
		r := s.ends(3, "", "show", "zzzzzz", id)
		if !strings.Contains(r.out, id) || !strings.HasPrefix(r.err, "zzzzzz: ") {
			g.Errorf("not all were tried: %q, %q", r.out, r.err)
		}
		s.value(&two, 3, "show", "zzzzzz", id)
		if len(two) != 1 || two[0].text("bundle") != id {
			g.Errorf("show of two of which one is there: %s", two)
		}
	}
}

// decisions: verify, approve, reject.
func (g *gateway) decisions() {
	g.Helper()
	find := func(name string) string { return g.high.find(name).text("bundle") }
	tree, early, once, bulk, bulk2, other := find("tree"), find("early.txt"), find("at once.txt"), find("bulk 1"), find("bulk 2"), find("other.txt")
	quarantine := filepath.Join(g.high.dir, "state/quarantine/default")
	if have := below(g.T, filepath.Join(quarantine, early)); !slices.Equal(have, []string{"SHA256SUMS", "files/", "files/early.txt", "manifest.json", "manifest.json.sig"}) {
		g.Errorf("quarantined stands as %q", have)
	}
	var checked struct {
		Bundle, State string
		Valid         bool
		Files         int
	}
	g.high.value(&checked, 0, "verify", tree)
	if checked.Bundle != tree || !checked.Valid || checked.Files != 5 || checked.State != "quarantined" {
		g.Errorf("verify says %+v", checked)
	}
	g.high.ends(3, "", "verify", "zzzzzz")

	var decided struct {
		Bundle, Name, State string
		Missing             int
	}
	g.high.value(&decided, 0, "reject", "--reason", "wrong register", once[:8])
	if decided.Bundle != once || decided.Name != "at once.txt" || decided.State != "rejected" {
		g.Errorf("reject says %+v", decided)
	}
	g.high.ends(4, "rejected", "approve", once)
	g.high.ends(4, "rejected", "verify", once)
	g.high.ends(3, "", "reject", "zzzzzz")
	g.high.ends(0, "wrong register", "show", once)

	g.high.value(&decided, 0, "approve", "--reason", "ticket 4711", tree)
	if decided.Bundle != tree || decided.State != "approved" && decided.State != "imported" {
		g.Errorf("approve says %+v", decided)
	}
	g.high.reach("tree", "imported")
	g.same(filepath.Join(g.work, "tree"), filepath.Join(g.high.dir, "import/default/tree"))
	g.high.ends(4, "imported", "reject", "--reason", "too late", tree)
	g.high.ends(4, "imported", "reject", tree)
	r := g.high.ends(4, "", "approve", bulk, "zzzzzz", bulk2, once)
	if strings.Count(r.out, "\n") != 2 || strings.Count(r.err, "\n") < 2 {
		g.Errorf("not all were tried, each with a line: %q, %q", r.out, r.err)
	}
	g.high.reach("bulk 2", "imported")
	if text, err := os.ReadFile(filepath.Join(g.high.dir, "import/default/bulk 1")); err != nil || string(text) != "1" {
		g.Errorf("%v, %q", err, text)
	}

	// Two people are two: the same one twice is one.
	g.high.value(&decided, 0, "approve", other)
	if decided.State != "quarantined" || decided.Missing != 1 {
		g.Errorf("approve where two have to: %+v", decided)
	}
	g.high.try("approve", other)
	if r := g.high.find("other.txt"); r.text("state") != "quarantined" {
		g.Errorf("one person has released alone: %s", r)
	}
}

// deliveries: what cannot be delivered stays approved with a reason, and deliver tries again.
func (g *gateway) deliveries() {
	g.Helper()
	early := g.high.find("early.txt").text("bundle")
	target := filepath.Join(g.high.dir, "import/default")
	if err := os.Rename(target, target+".away"); err != nil {
		g.Fatal(err)
	}
	g.high.ends(0, "", "approve", early)
	g.high.within(10*time.Second, "a reason", func() bool {
		r := g.high.find("early.txt")
		return r.text("state") == "approved" && r.text("reason") != "" && r.text("reason") != "not-inspected"
	})
	g.high.within(5*time.Second, "an alarm", func() bool {
		r := g.high.try("status")
		return r.code == 1 && strings.Contains("\n"+r.out, "\nALARM delivery: ")
	})
	if err := os.Rename(target+".away", target); err != nil {
		g.Fatal(err)
	}
	var delivered []row
	g.high.value(&delivered, 0, "deliver")
	if len(delivered) != 1 || delivered[0].text("bundle") != early || string(delivered[0]["failed"]) != "[]" {
		g.Errorf("deliver says %s", delivered)
	}
	g.high.reach("early.txt", "imported")
	var shown row
	if g.high.value(&shown, 0, "show", early); string(shown["waits"]) != "null" {
		g.Errorf("show says that what is imported waits: %s", shown)
	}
	g.high.value(&delivered, 0, "deliver")
	if delivered == nil || len(delivered) != 0 {
		g.Errorf("deliver of nothing says %s", delivered)
	}
	g.high.ends(4, "", "deliver", g.high.find("at once.txt").text("bundle"))
	g.high.ends(3, "", "deliver", "zzzzzz")
}

func (g *gateway) resends() {
	g.Helper()
	id := g.low.find("tree").text("bundle")
	var r row
	g.low.value(&r, 0, "resend", id[:6])
	if r.text("bundle") != id {
		g.Errorf("resend says %s", r)
	}
	g.low.within(10*time.Second, "a second pass", func() bool { return string(g.low.find("tree")["passes_done"]) == "2" })
	g.low.ends(3, "", "resend", "zzzzzz")
	g.low.ends(3, "", "resend", id[:5])
}

// quiet: where nothing is wrong status ends with 0 and doctor too.
func (g *gateway) quiet() {
	g.Helper()
	for _, s := range []*side{g.low, g.high} {
		r := s.ends(0, "running since", "status")
		if strings.Contains(r.out, "ALARM") {
			g.Errorf("%s", r.out)
		}
		var status struct {
			Running  bool
			Since    *time.Time
			Alarms   []any
			Bundles  map[string]int
			Sessions []map[string]json.RawMessage
			Links    []any
		}
		s.value(&status, 0, "status")
		if !status.Running || status.Since == nil || status.Alarms == nil || len(status.Alarms) > 0 || len(status.Links) != 1 || len(status.Bundles) == 0 {
			g.Errorf("ecluse-%s status: %+v", s.kind, status)
		}
		if s == g.high && (len(status.Sessions) != 1 || string(status.Sessions[0]["state"]) != `"open"` || string(status.Sessions[0]["sender"]) != `"low-1"` ||
			!slices.Equal(slices.Sorted(maps.Keys(status.Sessions[0])), strings.Fields("count reason sender session state"))) {
			g.Errorf("sessions are %s", status.Sessions)
		}
		var findings []map[string]string
		s.value(&findings, 0, "doctor")
		for _, f := range findings {
			if f["is"] == "fault" || f["what"] == "" {
				g.Errorf("doctor finds %v", f)
			}
		}
	}
}

// tampered: what no longer holds is refused, by each who looks, and for good.
func (g *gateway) tampered() {
	g.Helper()
	slow, other := g.high.find("written in place").text("bundle"), g.high.find("other.txt").text("bundle")
	quarantine := filepath.Join(g.high.dir, "state/quarantine/default")
	if err := os.WriteFile(filepath.Join(quarantine, slow, "files", "written in place"), []byte("two"), 0o600); err != nil {
		g.Fatal(err)
	}
	r := g.high.ends(4, "", "verify", slow, other)
	if strings.Count(r.out, "\n") != 1 || !strings.HasPrefix(r.out, other+"  ok") || !strings.HasPrefix(r.err, slow+": ") {
		g.Errorf("verify of a wrong one and a right one: %q, %q", r.out, r.err)
	}
	for _, args := range [][]string{{slow}, {slow, other}} {
		var checked json.RawMessage
		g.high.value(&checked, 4, "verify", args...)
		var all []row
		if err := json.Unmarshal(checked, &all); len(args) == 2 && (err != nil || len(all) != 2 || string(all[0]["valid"]) != "false" || string(all[1]["valid"]) != "true") {
			g.Errorf("verify of a wrong one and a right one says %s", checked)
		}
		var one row
		if err := json.Unmarshal(checked, &one); len(args) == 1 && (err != nil || string(one["valid"]) != "false" || one.text("bundle") != slow || one.text("reason") != "content-mismatch") {
			g.Errorf("verify of a wrong one says %s", checked)
		}
	}
	g.high.ends(4, "", "approve", slow)
	if r := g.high.find("written in place"); r.text("state") != "refused" || r.text("reason") == "" || r.text("reason") == "not-inspected" {
		g.Errorf("%s", r)
	}
	g.high.ends(4, "", "approve", slow)
}

// ambiguous: a prefix that two bundles share is a question, not a bundle. The other one is written into the catalog, which a start makes anew.
func (g *gateway) ambiguous() {
	g.Helper()
	for _, s := range []*side{g.low, g.high} {
		id := s.find("tree").text("bundle")
		twin(g.T, filepath.Join(s.dir, "state/catalog.db"), id)
		s.ends(2, "several", "show", id[:6])
		s.ends(0, id, "show", id)
	}
}

// rebuilt: a catalog is a copy; removed, it is made again with the same rows.
func (g *gateway) rebuilt() {
	g.Helper()
	lists := map[*side]string{}
	for _, s := range []*side{g.high, g.low} {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(s.dir, "state/catalog.db"+suffix)); err != nil && suffix == "" {
				g.Fatal(err)
			}
		}
		s.start()
		lists[s] = s.ends(0, "", "list", "--json").out
	}
	for s, want := range g.before {
		if lists[s] != want {
			g.Errorf("ecluse-%s list before and after:\n%s\n%s", s.kind, want, lists[s])
		}
	}
}
