// Package remotetest makes bundles as they stand in quarantine, for tests of destinations. Only tests import it.
package remotetest

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ecluse/internal/disk"
	"ecluse/internal/peers"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/quarantine"
)

// Job makes a bundle that stands in quarantine in a directory of its own. Files are given by their paths, directories by a path that ends in a slash. The last byte of its id is id.
func Job(t testing.TB, id byte, files map[string]string) remote.Job {
	t.Helper()
	dir := t.TempDir()
	table := new(bundle.Table)
	all := make(map[string]bool)
	for name := range files {
		all[name] = true
		for d := filepath.Dir(strings.TrimSuffix(name, "/")); d != "."; d = filepath.Dir(d) {
			all[d+"/"] = true
		}
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return bundle.Compare(bundle.Path(strings.TrimSuffix(a, "/")), bundle.Path(strings.TrimSuffix(b, "/")))
	})
	peers.Must(t, os.Mkdir(filepath.Join(dir, quarantine.FilesName), 0o700))
	for _, name := range names {
		at := filepath.Join(dir, quarantine.FilesName, name)
		p, err := bundle.ParsePath(strings.TrimSuffix(name, "/"))
		peers.Must(t, err)
		if strings.HasSuffix(name, "/") {
			peers.Must(t, os.Mkdir(at, 0o700))
			peers.Must(t, table.AddDir(p, 0o700, 0))
			continue
		}
		peers.Must(t, os.WriteFile(at, []byte(files[name]), 0o600))
		n, err := table.AddFile(p, int64(len(files[name])), 0o600, 0)
		peers.Must(t, err)
		table.SetDigest(n, sha256.Sum256([]byte(files[name])))
	}
	top, _, _ := strings.Cut(strings.TrimSuffix(names[0], "/"), "/")
	const chunk = 1 << 20
	m := &bundle.Manifest{
		Header: bundle.Header{
			Bundle: bundle.ID{15: id}, Sender: "low", Receiver: bundle.Digest{1}, Tenant: "cssf", Epoch: bundle.Epoch{1}, Sequence: uint64(id) + 1, Previous: bundle.Digest{2}, Name: top,
		},
		Table: table, ChunkSize: chunk, Marks: make([]bundle.Mark, bundle.ChunkCount(table, chunk)),
	}
	if id == 0 {
		m.Previous = bundle.Digest{}
	}
	f, err := os.Create(filepath.Join(dir, quarantine.ManifestName))
	peers.Must(t, err)
	peers.Must(t, bundle.WriteManifest(f, m))
	peers.Must(t, f.Close())
	signature := []byte("a signature, as far as this test goes")
	peers.Must(t, os.WriteFile(filepath.Join(dir, quarantine.SignatureName), bundle.Armor(signature), 0o600))
	return remote.Job{Signed: &quarantine.Signed{Manifest: m, Digest: m.Digest, Signature: signature}, Dir: dir, Disk: disk.New()}
}

// Change writes other content into a file that stands in quarantine.
func Change(t testing.TB, j remote.Job, name, content string) {
	t.Helper()
	peers.Must(t, os.WriteFile(filepath.Join(j.Dir, quarantine.FilesName, name), []byte(content), 0o600))
}
