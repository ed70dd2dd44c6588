package route

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/config"
	"ecluse/protocol/bundle"
)

// shelf is a disk in memory, which can be full.
type shelf struct {
	files map[string][]byte
	fail  error
}

func (s *shelf) ReadFile(path string, _ int64) ([]byte, error) {
	if b, ok := s.files[path]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (s *shelf) Replace(path string, b []byte) error {
	if s.fail != nil {
		return s.fail
	}
	s.files[path] = b
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func date(t *testing.T, s string) config.Date {
	t.Helper()
	d, err := config.ParseDate(s)
	must(t, err)
	return d
}

var noon = time.Date(2027, 12, 31, 12, 0, 0, 0, time.UTC)

func word(tenant bundle.Name, reason string) Word {
	return Word{Tenant: tenant, Who: "ann", UID: 1000, At: noon, Reason: reason}
}

func stop(t *testing.T, b *Book, tenant bundle.Name) {
	t.Helper()
	_, err := b.Stop(word(tenant, "ticket 4711"))
	must(t, err)
}

// Whoever closes a route, the configuration, a date or a person, of one tenant or of all: nothing of it goes through, and the others' do.
func TestARouteIsClosedByWhoeverSaysSo(t *testing.T) {
	facts := map[bundle.Name]Facts{"open": {}, "off": {Disabled: true}, "ends": {Expires: date(t, "2027-12-31")}, "ended": {Expires: date(t, "2027-12-30")}, "stopped": {}}
	b := Open(&shelf{files: map[string][]byte{}}, "/state", facts)
	stop(t, b, "stopped")
	check := func(now time.Time, want map[bundle.Name]bundle.Reason) {
		t.Helper()
		for name, reason := range want {
			got, _ := bundle.ReasonOf(b.Closed(name, now))
			if got != reason {
				t.Errorf("%s at %v: %v, want %q", name, now, b.Closed(name, now), reason)
			}
		}
	}
	check(noon, map[bundle.Name]bundle.Reason{"open": "", "off": bundle.ReasonRouteStopped, "ends": "", "ended": bundle.ReasonRouteExpired, "stopped": bundle.ReasonRouteStopped, "unknown": ""})
	check(noon.Add(12*time.Hour-1), map[bundle.Name]bundle.Reason{"ends": ""})
	check(noon.Add(12*time.Hour), map[bundle.Name]bundle.Reason{"ends": bundle.ReasonRouteExpired, "open": ""})
	stop(t, b, All)
	for name := range facts {
		check(noon, map[bundle.Name]bundle.Reason{name: bundle.ReasonRouteStopped, "configured-later": bundle.ReasonRouteStopped})
	}
	must(t, b.Start(word(All, "")))
	check(noon, map[bundle.Name]bundle.Reason{"open": "", "stopped": bundle.ReasonRouteStopped})
	must(t, b.Start(word("stopped", "")))
	check(noon, map[bundle.Name]bundle.Reason{"stopped": "", "ended": bundle.ReasonRouteExpired})
	b.Set(map[bundle.Name]Facts{"ended": {Expires: date(t, "2028-01-31")}})
	check(noon, map[bundle.Name]bundle.Reason{"ended": "", "off": bundle.ReasonRouteStopped})
}

// Whoever is taken out of a configuration that is read again is known to the house until its next start: its route must not open by that.
func TestATenantThatIsTakenOutOfTheConfigurationIsClosed(t *testing.T) {
	b := Open(&shelf{files: map[string][]byte{}}, "/state", map[bundle.Name]Facts{"off": {Disabled: true}, "ended": {Expires: date(t, "2027-12-30")}, "open": {}})
	b.Set(map[bundle.Name]Facts{"open": {}})
	for range 2 { // and read once more
		for _, name := range []bundle.Name{"off", "ended"} {
			if reason, _ := bundle.ReasonOf(b.Closed(name, noon)); reason != bundle.ReasonRouteStopped || len(b.Alarms(noon, "p")) != 2 {
				t.Errorf("%s: %v, %v", name, b.Closed(name, noon), b.Alarms(noon, "p"))
			}
		}
		b.Set(map[bundle.Name]Facts{"open": {}})
	}
	if b.Closed("open", noon) != nil {
		t.Error("others are closed")
	}
	b.Set(map[bundle.Name]Facts{"open": {}, "off": {}})
	if b.Closed("off", noon) != nil || b.Closed("ended", noon) == nil {
		t.Error("one that comes back is closed, or opens others")
	}
	b.Set(nil)
	if b.Closed("open", noon) == nil {
		t.Error("a configuration without tenants opens all")
	}
}

func TestAStopOutlivesTheProcess(t *testing.T) {
	disk := &shelf{files: map[string][]byte{}}
	b := Open(disk, "/state", nil)
	stop(t, b, "a")
	by, err := b.Stop(Word{Tenant: "a", Who: "bob", UID: 7, Reason: "me too"})
	if err != nil || by.Who != "ann" || by.Reason != "ticket 4711" {
		t.Errorf("stopped twice: %+v, %v", by, err)
	}
	again := Open(disk, "/state", nil)
	if why := again.Closed("a", noon); why == nil || !strings.Contains(why.Error(), "by ann (uid 1000) at 2027-12-31T12:00:00Z: ticket 4711") {
		t.Errorf("in the next life: %v", why)
	}
	must(t, again.Start(Word{Tenant: "a", Who: "bob", UID: 7, At: noon}))
	last := Open(disk, "/state", nil)
	if w, ok := last.Word("a"); !ok || w.Stopped || w.Who != "bob" || last.Closed("a", noon) != nil || len(last.Words()) != 1 {
		t.Errorf("started: %+v, %v", w, last.Closed("a", noon))
	}
}

func TestAFullDiskStopsAndDoesNotStart(t *testing.T) {
	disk := &shelf{files: map[string][]byte{}, fail: errors.New("no space left")}
	b := Open(disk, "/state", nil)
	if _, err := b.Stop(word("a", "now")); err == nil || !strings.Contains(err.Error(), "until this process ends") {
		t.Errorf("it says %v", err)
	}
	if b.Closed("a", noon) == nil {
		t.Error("it is not stopped")
	}
	disk.fail = nil
	stop(t, b, "a") // said again, it is kept
	if Open(disk, "/state", nil).Closed("a", noon) == nil {
		t.Error("the second word is not on the disk")
	}
	disk.fail = errors.New("no space left")
	if err := b.Start(word("a", "")); err == nil || b.Closed("a", noon) == nil {
		t.Errorf("a start that is not on the disk counts: %v", err)
	}
}

func TestAFileThatCannotBeReadStopsEverybody(t *testing.T) {
	disk := &shelf{files: map[string][]byte{}}
	b := Open(disk, "/state", map[bundle.Name]Facts{"a": {}})
	stop(t, b, "other")
	whole := disk.files[Path("/state")]
	for name, file := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)/2], "no seal": []byte("[]"), "a letter": []byte(strings.Replace(string(whole), "other", "othor", 1)), "a list more": append([]byte("[]\n"), whole...),
	} {
		disk.files[Path("/state")] = file
		b := Open(disk, "/state", map[bundle.Name]Facts{"a": {}})
		if reason, _ := bundle.ReasonOf(b.Closed("a", noon)); reason != bundle.ReasonRouteStopped || b.Fault() == nil || len(b.Alarms(noon, "p")) != 1 {
			t.Errorf("%s: closed for %v, fault %v", name, b.Closed("a", noon), b.Fault())
		}
		if _, err := b.Stop(word("a", "x")); err == nil {
			t.Errorf("%s: a stop is written over it", name)
		}
		if err := b.Start(word("a", "")); err == nil {
			t.Errorf("%s: one is started", name)
		}
		if string(disk.files[Path("/state")]) != string(file) {
			t.Errorf("%s: it was written over", name)
		}
		must(t, b.Start(word(All, "looked at it")))
		if b.Closed("a", noon) != nil || Open(disk, "/state", nil).Fault() != nil {
			t.Errorf("%s: after a start of all: %v", name, b.Closed("a", noon))
		}
	}
}

// failing is a disk of which so many reads fail.
type failing struct {
	*shelf
	reads int
}

func (f *failing) ReadFile(path string, most int64) ([]byte, error) {
	if f.reads > 0 {
		f.reads--
		return nil, syscall.EIO
	}
	return f.shelf.ReadFile(path, most)
}

func TestAMediumThatFailsOnceStopsNobody(t *testing.T) {
	disk := &shelf{files: map[string][]byte{}}
	stop(t, Open(disk, "/state", nil), "other")
	for fails, want := range []bool{true, true, false} {
		b := Open(&failing{disk, fails}, "/state", map[bundle.Name]Facts{"a": {}, "other": {}})
		if open := b.Closed("a", noon) == nil; open != want || b.Closed("other", noon) == nil {
			t.Errorf("%d reads fail: a is open: %v, other is closed: %v", fails, open, b.Closed("other", noon))
		}
	}
}

func TestWhatCannotBeSaid(t *testing.T) {
	b := Open(&shelf{files: map[string][]byte{}}, "/state", nil)
	for _, reason := range []string{"", "  ", "a\x1b[2J", "two\nlines", "a\u202eb", "a\xff", strings.Repeat("a", MaxReason+1)} {
		var text *TextError
		if _, err := b.Stop(word("a", reason)); !errors.As(err, &text) || b.Closed("a", noon) != nil {
			t.Errorf("%q: %v", reason, err)
		}
	}
	var none *NotStopped
	if err := b.Start(word("a", "")); !errors.As(err, &none) {
		t.Errorf("nobody is stopped: %v", err)
	}
	stop(t, b, All)
	if err := b.Start(word("a", "")); !errors.As(err, &none) || !strings.Contains(err.Error(), "--all") {
		t.Errorf("all are stopped: %v", err)
	}
	stop(t, b, "a")
	if _, still, err := b.Say(word("a", ""), noon); err != nil || !strings.Contains(still, "all tenants are stopped") {
		t.Errorf("started by name while all are stopped: %q, %v", still, err)
	}
	stop(t, b, "b")
	if _, still, err := b.Say(word(All, ""), noon); err != nil || still != "stopped by name are still: b" {
		t.Errorf("all are started: %q, %v", still, err)
	}
	if err := b.Start(word(All, "")); !errors.As(err, &none) || !strings.Contains(err.Error(), "by name are stopped: b") {
		t.Errorf("all are started twice: %v", err)
	}
}

func TestAlarmsOfRoutes(t *testing.T) {
	b := Open(&shelf{files: map[string][]byte{}}, "/state", map[bundle.Name]Facts{
		"a": {}, "far": {Expires: date(t, "2028-01-30")}, "near": {Expires: date(t, "2028-01-29"), Contact: "j@example.lu"}, "today": {Expires: date(t, "2027-12-31")}, "over": {Expires: date(t, "2027-12-30")}, "off": {Disabled: true},
	})
	stop(t, b, "a")
	var got []string
	for _, a := range b.Alarms(noon, "ecluse-receiver") {
		got = append(got, a.Name+" "+a.About)
	}
	if want := "route-stopped a, route-expires near, route-stopped off, route-expired over, route-expires today"; strings.Join(got, ", ") != want {
		t.Errorf("alarms %v, want %v", got, want)
	}
	stop(t, b, All)
	list := b.Alarms(noon, "ecluse-receiver")
	if list[0].Name != "route-stopped" || list[0].About != "" || !strings.Contains(list[0].Text, "ecluse-receiver policy start --all") {
		t.Errorf("%+v", list[0])
	}
}

func TestFactsThatCannotBeShown(t *testing.T) {
	for text, key := range map[string]string{
		`owner: "a\u001b[2J"`: "owner", `contact: "a\nb"`: "contact", `justification: "a\tb"`: "justification", "owner: " + strings.Repeat("a", 257): "owner", `owner: "a\u202eb"`: "owner",
		"expires: 2027-02-30": "expires", "expires: tomorrow": "expires",
		"owner: Zoë, ctie": "", `justification: "two\nlines"`: "", "expires: 2027-12-31": "",
	} {
		_, err := config.Parse("f", []byte(text), Defaults())
		if key == "" && err != nil || key != "" && (err == nil || !strings.Contains(err.Error(), key)) {
			t.Errorf("%s: %v, want a fault of %q", text, err, key)
		}
	}
}

// The keys of a route stand among those of a tenant: none is lost there, and none beside them is taken.
func TestKeysOfARouteStandAmongThoseOfATenant(t *testing.T) {
	type tenant struct {
		Name   string `yaml:"name"`
		Config `yaml:",squash"`
	}
	got, err := config.Parse("f", []byte("{name: a, owner: o, contact: c, justification: j, expires: 2027-12-31, enabled: false}"), tenant{Config: Defaults()})
	if want := (Facts{Disabled: true, Owner: "o", Contact: "c", Justification: "j", Expires: date(t, "2027-12-31")}); err != nil || got.Route() != want {
		t.Errorf("%+v, %v, want %+v", got.Route(), err, want)
	}
	if got, err := config.Parse("f", []byte("name: a"), tenant{Config: Defaults()}); err != nil || got.Route() != (Facts{}) {
		t.Errorf("nothing is said of it: %+v, %v", got.Route(), err)
	}
	for _, key := range []string{"disabled", "config", "route"} {
		if _, err := config.Parse("f", []byte("name: a\n"+key+": true"), tenant{}); err == nil {
			t.Errorf("%s is taken", key)
		}
	}
}
