package policy

import (
	"reflect"
	"strings"
	"testing"

	"ecluse/internal/config"
)

type house struct {
	Tenants []tenant `yaml:"tenants"`
}

type tenant struct {
	Name   string `yaml:"name"`
	Policy Config `yaml:"policy"`
}

func (h *house) Validate(f *config.Faults) {
	for i := range h.Tenants {
		h.Tenants[i].Policy.Validate(f.In("tenants[%d].policy", i))
	}
}

func TestAPolicyIsThereWhereItIsWritten(t *testing.T) {
	h, err := config.Parse("f", []byte(`
tenants:
  - name: none
  - name: plain
    policy: {}
  - name: all
    policy:
      names: {allow: ["*.csv", "in/**/x?.txt"], deny: ["*.exe"]}
      types: {allow: [text/csv, "image/*"], deny: [application/x-elf]}
      files: 10
      file_size: 1MiB
      size: 1GiB
      text: ["TOP SECRET"]
      macros: allow
      honest_names: true
      archives: {depth: 2, entries: 5, size: 1GiB, ratio: 7, encrypted: allow}
`), house{})
	if err != nil {
		t.Fatal(err)
	}
	if h.Tenants[0].Policy.Given {
		t.Error("a tenant without a policy has one")
	}
	if p := h.Tenants[1].Policy; !p.Given || !reflect.DeepEqual(*p.Rules(), Rules{Archives: DefaultArchives}) {
		t.Errorf("an empty policy is %+v", p)
	}
	want := Rules{
		Names: Lists{Allow: []string{"*.csv", "in/**/x?.txt"}, Deny: []string{"*.exe"}}, Types: Lists{Allow: []string{"text/csv", "image/*"}, Deny: []string{"application/x-elf"}},
		Files: 10, FileSize: 1 << 20, Size: 1 << 30, Text: []string{"TOP SECRET"}, Macros: true, Honest: true,
		Archives: Archives{Depth: 2, Entries: 5, Size: 1 << 30, Ratio: 7, Encrypted: true},
	}
	if got := *h.Tenants[2].Policy.Rules(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAPolicyThatCannotBeMeant(t *testing.T) {
	for text, key := range map[string]string{
		"files: -1": "files", `names: {deny: ["[a"]}`: "names.deny", "types: {allow: [pdf]}": "types.allow", "types: {deny: [TEXT/CSV]}": "types.deny", `text: [" "]`: "text", "macros: maybe": "macros",
		"archives: {encrypted: no}": "archives.encrypted", "archives: {depth: 33}": "archives.depth", "archives: {ratio: 0}": "archives.ratio", "archives: {size: 0}": "archives.size",
		"archives: {entries: 0}": "archives.entries", "type: {}": "type",
	} {
		_, err := config.Parse("f", []byte("tenants: [{name: a, policy: {"+text+"}}]"), house{})
		if err == nil || !strings.Contains(err.Error(), "tenants[0].policy."+key) {
			t.Errorf("%s: %v, want it to name %s", text, err, key)
		}
	}
}
