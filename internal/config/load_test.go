package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const full = `# all of it
state: /srv/état
count: -3
small: 255
part: 0.25
on: true
bytes: 1.5GiB
rate: 900Mbit/s
loss: 0.5%
keep: 7d
mode: 0640
to: "[fd00::2]:4600"
disk: {reserve: 5%}
links:
  - name: no            # a tenant may be called so
    to: 10.77.0.2:4600
  - name: 012
    to: 10.77.0.2:4601
    weight: 1
    doors:
      - {path: /a, mode: 3770}
      - path: '/b c'
words: [yes, 1.10, "null", ~x]
`

func TestEveryValueReachesItsTypeAsItIsWritten(t *testing.T) {
	got, err := Parse("f", []byte(full), houseDefaults())
	if err != nil {
		t.Fatal(err)
	}
	want := house{
		State: "/srv/état", Count: -3, Small: 255, Part: 0.25, On: true, Bytes: 3 << 29, Rate: 900e6, Loss: 0.005, Keep: Duration(7 * 24 * time.Hour), Mode: 0o640,
		To: must(ParseAddrPort("[fd00::2]:4600")), Disk: diskPart{Reserve: Size{Part: 0.05}, Files: 5},
		Links: []link{
			{Name: "no", To: must(ParseAddrPort("10.77.0.2:4600")), Weight: 7},
			{Name: "012", To: must(ParseAddrPort("10.77.0.2:4601")), Weight: 1, Doors: []door{{"/a", 0o3770}, {"/b c", 0}}},
		},
		Words: []string{"yes", "1.10", "null", "~x"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestWhatIsNotThereHasItsDefault(t *testing.T) {
	for _, text := range []string{"", "# only words\n", "---\n", "---\n# words\n...\n", "{}\n", "disk: {}\n", "\ufeffcount: 3\n"} {
		got, err := Parse("f", []byte(text), houseDefaults())
		if err != nil || !reflect.DeepEqual(got, houseDefaults()) {
			t.Errorf("%q: %v\n%+v", text, err, got)
		}
	}
}

func TestAListTakesThePlaceOfItsDefault(t *testing.T) {
	for text, want := range map[string]int{"links: []\n": 0, "links: [{name: a, to: 10.0.0.1:1}]\n": 1, "links: [{name: a, to: 10.0.0.1:1}, {name: b, to: 10.0.0.1:1}]\n": 2} {
		got, err := Parse("f", []byte(text), houseDefaults())
		if err != nil || len(got.Links) != want || want > 0 && got.Links[0].Name != "a" {
			t.Errorf("%q: %v, %+v", text, err, got.Links)
		}
	}
	given := houseDefaults()
	if _, err := Parse("f", []byte("links: [{name: a, to: 10.0.0.9:1}]\n"), given); err != nil || !reflect.DeepEqual(given, houseDefaults()) {
		t.Errorf("the defaults that were given were changed: %v, %+v", err, given)
	}
}

func TestTheEnvironmentOverridesSingleValues(t *testing.T) {
	for name, value := range map[string]string{
		"ECLUSE_STATE": "/env", "ECLUSE_COUNT": "9", "ECLUSE_DISK_RESERVE": "10GB", "ECLUSE_ON": "true", "ECLUSE_KEEP": "1d12h", "ECLUSE_TO": "10.0.0.7:7",
		"ECLUSE_RATE": "", // nothing is no value
		"ECLUSE_SKIP": "x", "ECLUSE_LINKS": "y", "ECLUSE_UNKNOWN": "z",
	} {
		t.Setenv(name, value)
	}
	for _, text := range []string{"", "state: /file\ncount: 1\nrate: 1Gbit\ndisk: {reserve: 5%, files: 5}\n"} {
		got, err := Parse("f", []byte(text), houseDefaults())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := houseDefaults()
		want.State, want.Count, want.On, want.Keep, want.To = "/env", 9, true, Duration(36*time.Hour), must(ParseAddrPort("10.0.0.7:7"))
		want.Disk.Reserve = Size{Bytes: 10e9}
		if text != "" {
			want.Rate = 1e9
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got\n%+v\nwant\n%+v", text, got, want)
		}
	}
}

func TestAFaultOfTheEnvironmentNamesItsVariable(t *testing.T) {
	for variable, row := range map[string]struct{ value, want string }{
		"ECLUSE_COUNT":        {"many", `ECLUSE_COUNT: count: "many" is no whole number of this size`},
		"ECLUSE_ON":           {"1", `ECLUSE_ON: on: "1" is neither true nor false`},
		"ECLUSE_DISK_RESERVE": {"much", `ECLUSE_DISK_RESERVE: disk.reserve: "much" is neither`},
		"ECLUSE_DISK_FILES":   {"-1", `ECLUSE_DISK_FILES: disk.files: -1 is below 0`},
		"ECLUSE_TO":           {"host:1", `ECLUSE_TO: to: "host:1" is no address`},
		"ECLUSE_MODE":         {"999", `ECLUSE_MODE: mode: "999" is no mode`},
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, row.value)
			got := faultsOf(t, "state: /x\ncount: 1\ndisk:\n  files: 1\n")
			if len(got) != 1 || !strings.HasPrefix(got[0], row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAFaultOfTheFileIsToldThoughTheEnvironmentOverridesIt(t *testing.T) {
	t.Setenv("ECLUSE_COUNT", "5")
	got := faultsOf(t, "count: [1]\n")
	if len(got) != 1 || got[0] != "f:1: count: wants one value, not a list" {
		t.Errorf("%q", got)
	}
}

func TestAStructThatCannotBeServedIsItsOwnersBug(t *testing.T) {
	for name, parse := range map[string]func(){
		"a map": func() {
			_, _ = Parse("f", []byte("a: {b: c}\n"), struct {
				A map[string]string `yaml:"a"`
			}{})
		},
		"a key in capital": func() {
			_, _ = Parse("f", []byte("a: b\n"), struct {
				A string `yaml:"A"`
			}{})
		},
		"no key": func() { _, _ = Parse("f", []byte("a: b\n"), struct{ A string }{}) },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "config: ") {
					t.Errorf("%s: %v", name, text)
				}
			}()
			parse()
			t.Errorf("%s was taken", name)
		}()
	}
}
