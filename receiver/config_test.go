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
const documented = `state: /var/lib/ecluse-receiver
identity: /etc/ecluse/receiver.key
allowed_signers: /etc/ecluse/allowed_signers
links:
  - name: a
    listen: 10.77.0.2:4600
senders:
  - name: ctie-low
    tenants: [cssf]
tenants:
  - name: cssf
    release: one        # automatic | one | two
    deliver:
      - directory: /srv/import/cssf
`

// sampled is what both samples say.
func sampled() Config {
	c := defaults()
	var link LinkConfig
	var tenant TenantConfig
	var to DeliverConfig
	link.SetDefaults()
	tenant.SetDefaults()
	to.SetDefaults()
	link.Name, link.Listen = "a", config.AddrPort{AddrPort: netip.MustParseAddrPort("10.77.0.2:4600")}
	to.Directory = "/srv/import/cssf"
	tenant.Name, tenant.Release, tenant.Deliver = "cssf", "one", []DeliverConfig{to}
	c.Links, c.Tenants, c.Senders = []LinkConfig{link}, []TenantConfig{tenant}, []SenderConfig{{"ctie-low", []string{"cssf"}}}
	return c
}

func TestSamplesSayTheDefaultsThatHold(t *testing.T) {
	text, err := os.ReadFile("../configs/receiver.yaml")
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
			want.Name, want.Officers = "cloud-high", "/etc/ecluse/officers"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestAllThatContradictsIsToldAtOnce(t *testing.T) {
	text := strings.NewReplacer("/etc/ecluse/receiver.key", "receiver.key", "10.77.0.2:4600", "10.77.0.2:0", "[cssf]", "[cssf, other]", "name: ctie-low", "name: a/b", "one ", "three ",
		"/srv/import/cssf", "import\n        clash: overwrite").Replace(documented) + "silence: 1s\nmemory: 1MiB\nlog: loud\ndisk: {reserve: 100%}\ntickets: {per_day: 1001}\n"
	_, err := config.Parse("f", []byte(text), defaults())
	if err == nil {
		t.Fatal("it holds")
	}
	for _, path := range []string{"f:2: identity: ", "f:6: links[0].listen: ", "f:8: senders[0].name: ", "f:9: senders[0].tenants[1]: ", "f:12: tenants[0].release: ",
		"f:14: tenants[0].deliver[0].directory: ", "f:15: tenants[0].deliver[0].clash: ", "f:16: silence: ", "f:17: memory: ", "f:18: log: ", "f:19: disk.reserve: ",
		"f:20: tickets.per_day: "} {
		if !strings.Contains("\n"+err.Error(), "\n"+path) {
			t.Errorf("not told: %s", path)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 12 {
		t.Errorf("%d faults, not 12:\n%v", n, err)
	}
}

func TestPricesAndEnvelopesAreHeldAgainstSense(t *testing.T) {
	with := func(prices, envelope string) string {
		text := documented + "    envelope: " + envelope + "\n"
		if prices != "" {
			text += "prices: " + prices + "\n"
		}
		return text
	}
	for name, row := range map[string]struct {
		prices, envelope string
		faults           []string // "" is none
	}{
		"all of it":      {`{currency: CHF, gigabyte: "0.12", bundle: 0.01, file: "0", gigabyte_month: "0.05"}`, `{bytes: 20TiB, cost: "12000", year_starts: 4, warn: [50%, 80%], stop: true}`, nil},
		"one price":      {`{bundle: 1}`, `{bytes: 1TiB}`, nil},
		"link time":      {`{link_hour: "3.50"}`, `{bytes: 1TiB}`, []string{"prices.link_hour", "low side"}},
		"no currency":    {`{currency: "=1+1"}`, `{bytes: 1TiB}`, []string{"prices.currency"}},
		"a price":        {`{gigabyte: "1e3"}`, `{bytes: 1TiB}`, []string{"prices.gigabyte"}},
		"nothing fills":  {``, `{}`, []string{"tenants[0].envelope", "nothing could fill it"}},
		"cost, no price": {``, `{cost: "1"}`, []string{"tenants[0].envelope.cost", "no prices"}},
		"month, share":   {``, `{bytes: 1, year_starts: 13, warn: [0%]}`, []string{"envelope.year_starts", "envelope.warn"}},
		"a strange key":  {``, `{bytes: 1, limit: 2}`, []string{"envelope.limit"}},
	} {
		_, err := config.Parse(name, []byte(with(row.prices, row.envelope)), defaults())
		if (err == nil) != (row.faults == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range row.faults {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
	}
	c, err := config.Parse("f", []byte(with(`{bundle: 1}`, `{bytes: 1TiB}`)), defaults())
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Tenants[0].Envelope; !c.Prices.Given || c.Prices.Currency != "EUR" || !e.Given || e.Begins != 1 || len(e.Warn) != 2 || e.Stop {
		t.Errorf("the defaults are %+v, %+v", c.Prices, e)
	}
}

// destinations is the sample with a list of destinations.
func destinations(list string) string {
	return strings.Replace(documented, "      - directory: /srv/import/cssf\n", list, 1)
}

func TestDestinationsOfEveryKind(t *testing.T) {
	c, err := config.Parse("f", []byte(destinations(`      - directory: /srv/import/cssf
      - s3: {endpoint: "https://store:9000", bucket: import, prefix: cssf/, access_key_file: /etc/ecluse/s3.key, ca: /etc/ecluse/store.pem, names: short}
        timeout: 30s
      - oci: {registry: "registry:5000", repository: cssf, credentials_file: /etc/ecluse/registry.key}
      - command: [/usr/local/bin/import, "{dir}"]
        as: database
    freshness: 24h
`)), defaults())
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := tenantsOf(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	tenant := tenants["cssf"]
	var names []string
	for _, r := range tenant.Remotes {
		names = append(names, r.Name())
	}
	if got := strings.Join(names, " "); got != "s3://store:9000/import/cssf oci://registry:5000/cssf database" || len(tenant.Destinations) != 1 || tenant.Freshness != 24*time.Hour {
		t.Errorf("%s, %+v", got, tenant)
	}
	if s := c.Tenants[0].Deliver[1].S3; s.Region != "us-east-1" || !s.Given {
		t.Errorf("%+v", s)
	}
}

func TestDestinationsThatCannotBe(t *testing.T) {
	const store = `      - s3: {endpoint: "https://store:9000", bucket: import, prefix: cssf/, access_key_file: /etc/ecluse/s3.key}
`
	for list, want := range map[string]string{
		"      - clash: refuse\n": "deliver[0].directory: \"\" is not an absolute path",
		"      - directory: /srv/import/cssf\n        command: [/bin/true]\n":                                                "deliver[0]: it is one of directory, s3, oci and command",
		"      - directory: /srv/import/cssf\n        as: x\n":                                                               "deliver[0].as: a directory is called by its path",
		"      - directory: /srv/import/cssf\n        timeout: 1m\n":                                                         "deliver[0].timeout: ",
		strings.Replace(store, "/etc/ecluse/s3.key", "/srv/import/cssf/s3.key", 1) + "      - directory: /srv/import/cssf\n": "deliver[1].directory: tenants[0].deliver[0].s3.access_key_file",
		store + "        clash: refuse\n":                                                                                    "deliver[0].clash: it is for a directory",
		store + "        mode: {files: 0600}\n":                                                                              "deliver[0].mode: it is for a directory",
		store + "        timeout: 10ms\n":                                                                                    "deliver[0].timeout: ",
		store + "        as: /srv\n":                                                                                         "deliver[0].as: ",
		store + store:                                                                                                        "deliver[1].as: two destinations are called \"s3://store:9000/import/cssf\"",
		strings.Replace(store, "https://store:9000", "store:9000", 1):                                                        "deliver[0].s3.endpoint: ",
		strings.Replace(store, "https://store", "https://user:secret@store", 1):                                              "deliver[0].s3.endpoint: ",
		strings.Replace(store, "bucket: import", "bucket: a/b", 1):                                                           "deliver[0].s3.bucket: ",
		strings.Replace(store, "prefix: cssf/", "prefix: /cssf", 1):                                                          "deliver[0].s3.prefix: ",
		strings.Replace(store, "prefix: cssf/", "prefix: thirteen-long, names: short", 1):                                    "deliver[0].s3.prefix: \"thirteen-long\" has more than 12 characters",
		strings.Replace(store, "prefix: cssf/", "prefix: cssf/, names: long", 1):                                             "deliver[0].s3.names: ",
		strings.Replace(store, "/etc/ecluse/s3.key", "s3.key", 1):                                                            "deliver[0].s3.access_key_file: ",
		strings.Replace(store, "access_key_file: /etc/ecluse/s3.key", "secret: abc", 1):                                      "deliver[0].s3.secret: unknown key",
		"      - oci: {registry: \"registry:5000\", repository: CSSF}\n":                                                     "deliver[0].oci: ",
		"      - oci: {registry: \"a/b\", repository: cssf}\n":                                                               "deliver[0].oci: ",
		"      - oci: {registry: \"http://registry:5000\", repository: cssf}\n":                                              "deliver[0].oci: \"http://registry:5000\" has a scheme: write registry: \"registry:5000\"",
		"      - oci: {registry: \"https://registry:5000\", repository: cssf}\n":                                             "deliver[0].oci: \"https://registry:5000\" is an address: write registry: \"registry:5000\"",
		"      - oci: {registry: \"registry:5000\", repository: cssf, ca: x}\n":                                              "deliver[0].oci.ca: ",
		"      - command: [import]\n":                                                                                        "deliver[0].command: ",
		"      - command: [/bin/import, \"{name}\"]\n":                                                                       "deliver[0].command: \"{name}\" stands for nothing",
		store + "  - name: other\n    deliver:\n" + strings.Replace(strings.TrimRight(store, "\n"), "store:9000", "STORE:9000/", 1) + "\n        as: x\n": "tenants[1].deliver[0]: it is the place of tenants[0].deliver[0]",
		store + "  - name: other\n    deliver:\n" + strings.TrimRight(store, "\n") + "\n        as: x\n":                                                  "tenants[1].deliver[0]: it is the place of tenants[0].deliver[0]",
	} {
		_, err := config.Parse("f", []byte(destinations(list)), defaults())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nsays %v, want %q", list, err, want)
		}
	}
}
