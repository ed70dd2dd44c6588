package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse/internal/cli"
)

// people is a file of those who may sign: one key each.
const people = `alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJV6v0pH9euk9Pj9MyY7qqXdJoRpvV2pXcNDYwmIh33/
bob ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxa2JrzEyOKYBugtbdDjOFADYEL08o0L2CY5NrP4Xz4
`

// Who must sign and cannot is told before anything of a tenant is flagged for it, and so is a file without which the daemon would not start.
func TestDoctorKnowsWhoCanSign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people")
	for _, row := range []struct {
		name string
		s    SignaturesConfig
		file string
		want []string
	}{
		{"nobody has to", SignaturesConfig{}, "", nil},
		{"two of two", SignaturesConfig{Need: 2, Of: []string{"alice", "bob"}, Signers: file}, people, nil},
		{"two of whoever there is", SignaturesConfig{Need: 2}, people, nil},
		{"a name that is spelled otherwise", SignaturesConfig{Need: 1, Of: []string{"alice", "bbo"}, Signers: file}, people, []string{"warning", "bbo has no key in " + file}},
		{"too few", SignaturesConfig{Need: 2, Of: []string{"alice", "carol"}, Signers: file}, people, []string{"warning", "fault    tenant cssf", "2 people must have signed, and 1 have a key"}},
		{"too few at all", SignaturesConfig{Need: 3, Signers: file}, people, []string{"fault    tenant cssf", "and 2 have a key"}},
		{"no file", SignaturesConfig{Need: 1, Signers: file}, "", []string{"fault    signers " + file}},
	} {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if row.file != "" {
			if err := os.WriteFile(file, []byte(row.file), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		conf := sampled()
		conf.AllowedSigners, conf.Tenants[0].Policy.Signatures = file, row.s
		var d cli.Doctor
		examineSigners(&d, conf, &conf.Tenants[0])
		var out bytes.Buffer
		_ = d.Print(&out, false)
		for _, want := range row.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q does not say %q", row.name, out.String(), want)
			}
		}
		if row.want == nil && out.Len() > 0 {
			t.Errorf("%s: %q", row.name, out.String())
		}
	}
}

// What policy show says of a tenant holds for every kind of destination, and says who must sign.
func TestRulesNameEveryDestinationAndWhoSigns(t *testing.T) {
	var dir, store, registry, program DeliverConfig
	for _, d := range []*DeliverConfig{&dir, &store, &registry, &program} {
		d.SetDefaults()
	}
	dir.Directory, program.Command = "/srv/import/cssf", []string{"/usr/local/bin/import", "{dir}"}
	store.S3.SetDefaults()
	store.S3.Given, store.S3.Endpoint, store.S3.Bucket, store.S3.Prefix = true, "https://store:9000", "import", "cssf/"
	registry.OCI.SetDefaults()
	registry.OCI.Given, registry.OCI.Registry, registry.OCI.Repository = true, "registry:5000", "cssf"
	tenant := TenantConfig{Deliver: []DeliverConfig{dir, store, registry, program}}
	tenant.Policy.Signatures = SignaturesConfig{Need: 2, Of: []string{"alice", "bob"}, Signers: "/etc/ecluse/people"}
	says := make(map[string]string)
	for _, r := range tenant.rules() {
		says[r.Key] = r.Words
	}
	if want := "/srv/import/cssf (a name that is taken: keep-both), s3://store:9000/import/cssf, oci://registry:5000/cssf, command:/usr/local/bin/import"; says["deliver"] != want {
		t.Errorf("deliver: %q, want %q", says["deliver"], want)
	}
	if want := "each file must have those of 2 people, of alice, bob, by the keys in /etc/ecluse/people"; says["signatures"] != want {
		t.Errorf("signatures: %q, want %q", says["signatures"], want)
	}
}
