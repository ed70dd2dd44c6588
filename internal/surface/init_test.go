package surface

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// below lists what stands below a directory.
func below(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if path != dir && errors.Is(err, fs.ErrNotExist) {
			return nil // it was on its way
		}
		if name := strings.TrimPrefix(path, dir); name != "" && err == nil {
			if e.IsDir() {
				name += "/"
			}
			files = append(files, name[1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// holdsLines holds that a configuration has lines, in their order, and is block style with one key a line.
func holdsLines(t *testing.T, path string, lines []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rest := "\n" + string(text)
	for _, line := range lines {
		_, after, ok := strings.Cut(rest, "\n"+line+"\n")
		if !ok {
			t.Errorf("%s has no line %q at its place:\n%s", path, line, text)
			return
		}
		rest = "\n" + after
	}
	for line := range strings.Lines(string(text)) {
		if bare, _, _ := strings.Cut(line, "#"); strings.ContainsAny(bare, "{}&*") || strings.Count(bare, ": ") > 1 {
			t.Errorf("%s is not block style, one key a line: %q", path, line)
		}
	}
}

func TestInitLaysOutTheLowSide(t *testing.T) {
	for name, flags := range map[string][]string{
		"defaults": nil,
		"all":      {"--mtu", "9000", "--rate", "9Gbit", "--loss", "3%", "--burst", "20ms", "--passes", "2", "--apart", "1m"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, "sender", filepath.Join(t.TempDir(), "a", "low"))
			r := s.run(append([]string{"init", "--dir", s.dir, "--to", "10.77.0.2:4600"}, flags...)...)
			r.check(t, "init", 0, "")
			if !regexp.MustCompile(`^` + regexp.QuoteMeta(s.dir) + `/sender\.pair\nSHA256:[A-Za-z0-9+/]{43}\n$`).MatchString(r.out) {
				t.Errorf("stdout is not the card and its fingerprint: %q", r.out)
			}
			have := below(t, s.dir)
			for _, want := range []string{"sender.yaml", "sender.pair", "sender_ed25519", "sender_ed25519.pub", "outbox/", "outbox/default/", "state/"} {
				if !slices.Contains(have, want) {
					t.Errorf("%s is not there: %q", want, have)
				}
			}
			mtu, rate, loss, burst, passes, apart := "1500", "900Mbit", "1%", "10ms", "1", "10s"
			if flags != nil {
				mtu, rate, loss, burst, passes, apart = "9000", "9Gbit", "3%", "20ms", "2", "1m"
			}
			holdsLines(t, s.config, []string{
				"state: " + s.dir + "/state", "identity: " + s.dir + "/sender_ed25519", "receiver: " + s.dir + "/receiver.pair",
				"links:", "  - name: a", "    to: 10.77.0.2:4600", "    mtu: " + mtu, "    rate: " + rate, "    loss: " + loss, "    burst: " + burst,
				"passes:", "  count: " + passes, "  apart: " + apart, "tenants:", "  - name: default", "    outbox: " + s.dir + "/outbox/default",
			})
			s.ends(0, "", "plan")
			private(t, filepath.Join(s.dir, "sender_ed25519"), filepath.Join(s.dir, "state", "ticket.key"))
		})
	}
}

func TestInitLaysOutTheHighSide(t *testing.T) {
	for _, mode := range []string{"", "automatic", "one", "two"} {
		s := newSide(t, "receiver", filepath.Join(t.TempDir(), "a", "high"))
		args, want := []string{"init", "--dir", s.dir, "--listen", "[::1]:4600"}, mode
		if mode == "" {
			want = "one"
		} else {
			args = append(args, "--release", mode)
		}
		r := s.run(args...)
		r.check(t, "init", 0, "")
		if !regexp.MustCompile(`^` + regexp.QuoteMeta(s.dir) + `/receiver\.pair\nSHA256:[A-Za-z0-9+/]{43}\n$`).MatchString(r.out) {
			t.Errorf("stdout is not the card and its fingerprint: %q", r.out)
		}
		have := below(t, s.dir)
		for _, want := range []string{"receiver.yaml", "receiver.pair", "receiver.key", "allowed_signers", "officers", "officer_ed25519", "officer_ed25519.pub", "import/", "import/default/", "state/"} {
			if !slices.Contains(have, want) {
				t.Errorf("%s is not there: %q", want, have)
			}
		}
		holdsLines(t, s.config, []string{
			"state: " + s.dir + "/state", "identity: " + s.dir + "/receiver.key", "allowed_signers: " + s.dir + "/allowed_signers", "officers: " + s.dir + "/officers",
			"officer_key: " + s.dir + "/officer_ed25519", "links:", "  - name: a",
			"    listen: '[::1]:4600'", "senders: []", "tenants:", "  - name: default", "    release: " + want, "    deliver:", "      - directory: " + s.dir + "/import/default",
		})
		if r := s.try("list"); r.code != 0 {
			t.Errorf("its own configuration does not hold: %s", r.err)
		}
		private(t, filepath.Join(s.dir, "receiver.key"), filepath.Join(s.dir, "officer_ed25519"))
	}
}

// private holds that nobody but the owner may read files.
func private(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, err, info.Mode())
		}
	}
}

func TestInitRefusesADirectoryThatHoldsKeys(t *testing.T) {
	low, high := sides(t)
	for _, s := range []*side{low, high} {
		address := map[string]string{"sender": "--to", "receiver": "--listen"}[s.kind]
		before := contents(t, s.dir)
		s.run("init", "--dir", s.dir, address, "127.0.0.1:1").check(t, "init again", 2, "holds keys already")
		if after := contents(t, s.dir); after != before {
			t.Errorf("a refused init changed %s", s.dir)
		}
		if err := os.Remove(s.config); err != nil {
			t.Fatal(err)
		}
		s.run("init", "--dir", s.dir, address, "127.0.0.1:1").check(t, "init where the configuration was removed", 2, "holds keys already")
	}
}

// contents is everything below a directory in one text.
func contents(t *testing.T, dir string) string {
	t.Helper()
	text := ""
	for _, f := range below(t, dir) {
		b, _ := os.ReadFile(filepath.Join(dir, f))
		text += fmt.Sprintf("%s %q\n", f, b)
	}
	return text
}

func TestInitTellsWhatIsWrongWithItsFlagsAndMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for _, row := range []struct {
		kind, says string
		args       []string
	}{
		{"sender", "to", []string{"--dir", dir}},
		{"sender", "dir", []string{"--to", "127.0.0.1:1"}},
		{"sender", "names are not looked up", []string{"--dir", dir, "--to", "host:1"}},
		{"sender", "--passes 0", []string{"--dir", dir, "--to", "127.0.0.1:1", "--passes", "0"}},
		{"sender", "mtu", []string{"--dir", dir, "--to", "127.0.0.1:1", "--mtu", "1499"}},
		{"sender", "rate", []string{"--dir", dir, "--to", "127.0.0.1:1", "--rate", "fast"}},
		{"sender", "loss", []string{"--dir", dir, "--to", "127.0.0.1:1", "--loss", "60%"}},
		{"sender", "burst", []string{"--dir", dir, "--to", "127.0.0.1:1", "--burst", "10"}},
		{"sender", "apart", []string{"--dir", dir, "--to", "127.0.0.1:1", "--apart", "soon"}},
		{"sender", "port 0", []string{"--dir", dir, "--to", "127.0.0.1:0"}},
		{"sender", "--name", []string{"--dir", dir, "--to", "127.0.0.1:1", "--name", "a b"}},
		{"sender", "unknown", []string{"--dir", dir, "--to", "127.0.0.1:1", "extra"}},
		{"sender", "UTF-8", []string{"--dir", dir + "/\xff", "--to", "127.0.0.1:1"}},
		{"receiver", "listen", []string{"--dir", dir}},
		{"receiver", "dir", []string{"--listen", "127.0.0.1:1"}},
		{"receiver", "three", []string{"--dir", dir, "--listen", "127.0.0.1:1", "--release", "three"}},
		{"receiver", "port 0", []string{"--dir", dir, "--listen", "127.0.0.1:0"}},
		{"receiver", "--name", []string{"--dir", dir, "--listen", "127.0.0.1:1", "--name", ""}},
	} {
		newSide(t, row.kind, dir).run(append([]string{"init"}, row.args...)...).check(t, row.kind+" init "+strings.Join(row.args, " "), 2, row.says)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("something was made: %q", below(t, dir))
	}
}
