package main

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"ecluse/internal/config"
)

// documented is the sample that operators are shown.
const documented = `state: /var/lib/ecluse-sender
identity: /etc/ecluse/sender_ed25519
receiver: /etc/ecluse/receiver.pair
links:
  - name: a
    to: 10.77.0.2:4600
    mtu: 9000
    rate: 9Gbit
    loss: 1%
    burst: 10ms
passes: {count: 2, apart: 10s}
tenants:
  - name: cssf
    outbox: /var/spool/ecluse/cssf
    weight: 1
`

// sampled is what both samples say.
func sampled() Config {
	c := defaults()
	var link LinkConfig
	var tenant TenantConfig
	link.SetDefaults()
	tenant.SetDefaults()
	link.Name, link.To, link.MTU, link.Rate = "a", config.AddrPort{AddrPort: netip.MustParseAddrPort("10.77.0.2:4600")}, 9000, 9e9
	tenant.Name, tenant.Outbox = "cssf", "/var/spool/ecluse/cssf"
	c.Links, c.Tenants = []LinkConfig{link}, []TenantConfig{tenant}
	c.Passes = PassesConfig{Count: 2, Apart: config.Duration(10 * time.Second)}
	return c
}

func TestSamplesSayTheDefaultsThatHold(t *testing.T) {
	text, err := os.ReadFile("../configs/sender.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sample := string(text)
	commented := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`)
	bare := commented.ReplaceAllString(sample, "$1$2")
	if n := len(commented.FindAllString(sample, -1)); n < 5 {
		t.Fatalf("%d commented defaults: the sample has another form than this test knows", n)
	}
	for name, text := range map[string]string{"documented": documented, "as it is": sample, "with every default uncommented": bare} {
		got, err := config.Parse(name, []byte(text), defaults())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := sampled()
		if name != "documented" {
			want.Name = "ctie-low"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestAllThatContradictsIsToldAtOnce(t *testing.T) {
	text := strings.NewReplacer("/var/lib", "var/lib", "count: 2", "count: 0", "10.77.0.2:4600", "10.77.0.2:0", "weight: 1", "weight: 0\n    names: dos", "name: cssf", "name: CSSF").Replace(documented) +
		"  - name: other\n    outbox: /var/spool/ecluse/cssf/\nmemory: 1MiB\nlog: loud\n"
	_, err := config.Parse("f", []byte(text), defaults())
	if err == nil {
		t.Fatal("it holds")
	}
	for _, path := range []string{"f:1: state: ", "f:6: links[0].to: ", "f:11: passes.count: ", "f:13: tenants[0].name: ", "f:15: tenants[0].weight: ", "f:16: tenants[0].names: ",
		"f:18: tenants[1].outbox: ", "f:19: memory: ", "f:20: log: "} {
		if !strings.Contains("\n"+err.Error(), "\n"+path) {
			t.Errorf("not told: %s", path)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 9 {
		t.Errorf("%d faults, not 9:\n%v", n, err)
	}
}
