package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "time/tzdata"

	"ecluse/protocol/bundle"
)

// stock asks ssh-keygen what we ask ourselves.
type stock struct {
	program, dir string
	signatures   map[string]string // by namespace: files
}

func newStock(t *testing.T) (s stock, key string) {
	t.Helper()
	s = stock{program: need(t, "ssh-keygen"), dir: t.TempDir(), signatures: map[string]string{}}
	path, i := identity(t)
	for _, namespace := range []string{"bundle@ecluse", "session@ecluse", "file", "a,b", `a"b`} {
		blob, err := i.Sign(namespace, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		s.signatures[namespace] = write(t, filepath.Join(s.dir, "sig"+string(rune('a'+len(s.signatures)))), string(bundle.Armor(blob)), 0o600)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(public))
	return s, fields[0] + " " + fields[1]
}

// verifies gives ssh-keygen's verdict.
func (s stock) verifies(t *testing.T, text, name, namespace, at, zone string) (bool, string) {
	t.Helper()
	file := write(t, filepath.Join(s.dir, "allowed_signers"), text, 0o600)
	out, err := run(t, []string{"TZ=" + zone}, message, s.program, "-Y", "verify", "-f", file, "-I", name, "-n", namespace,
		"-s", s.signatures[namespace], "-Overify-time="+at)
	return err == nil, out
}

// verdict is ours to the same question.
func verdict(t *testing.T, text, key, name, namespace, at, zone string) (bool, error) {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	a, err := parseAllowedSigners([]byte(text), location)
	if err != nil {
		return false, err
	}
	when, err := parseInstant(at, location)
	if err != nil {
		t.Fatal(err)
	}
	public, err := parseKey(strings.Fields(key)[0], strings.Fields(key)[1], sendersKeys)
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Principal(public, namespace, time.Unix(when, 0))
	return err == nil && string(who) == name, err
}

// stricter marks files that we refuse, or that make no sender here, where ssh-keygen finds a signature good.
const stricter = true

// TestWeJudgeAsSSHKeygenDoes is the promise of the package: K stands for the signer's key, O for another one.
func TestWeJudgeAsSSHKeygenDoes(t *testing.T) {
	s, key := newStock(t)
	other := keyText(testKey(t, 77))
	const noon = "20260601120000Z"
	accepted, refused := 0, 0
	for _, c := range []struct {
		name, text string
		want       bool // our verdict
		stricter   bool
	}{
		{"a plain line", "low K\n", true, false},
		{"no line feed at the end", "low K", true, false},
		{"CR LF", "low K\r\n", true, false},
		{"CR LF in a file of comments", "# c\r\n\r\nlow K c\r\n", true, false},
		{"a comment behind the key", "low K low side, 2nd floor\n", true, false},
		{"a comment like a line", "low O low K\n", false, false},
		{"tabs", "\tlow\tK\tcomment\n", true, false},
		{"spaces in front", "   low   K\n", true, false},
		{"a comment line", "# low K\n", false, false},
		{"a comment line with spaces in front", "  # low K\n", false, false},
		{"an empty file", "", false, false},
		{"another key", "low O\n", false, false},
		{"another name", "high K\n", false, false},
		{"the name in capitals", "LOW K\n", false, false},
		{"part of the name", "lo K\n", false, false},
		{"a longer name", "lowe K\n", false, false},
		{"the second line", "low O\nlow K\n", true, false},
		{"two lines of one key", "low namespaces=\"file\" K\nlow namespaces=\"bundle@ecluse\" K\n", true, false},
		{"two lines of one key, neither for it", "low namespaces=\"file\" K\nlow namespaces=\"session@ecluse\" K\n", false, false},
		{"the same line twice", "low K\nlow K\n", true, false},
		{"a quoted name", "\"low\" K\n", true, false},
		{"a quoted name and options", "\"low\" namespaces=\"bundle@ecluse\" K\n", true, false},
		{"a name and a pattern that permits", "low namespaces=\"file\" K\nl* namespaces=\"bundle@ecluse\" K\n", true, false},
		{"a name and a list that permits", "low namespaces=\"file\" K\nx,low namespaces=\"bundle@ecluse\" K\n", true, false},
		{"a name and a list of others", "low namespaces=\"file\" K\nx,y K\n", false, false},
		{"a name and a pattern that excludes", "low namespaces=\"file\" K\n*,!low K\n", false, false},
		{"an exclusion in front", "low namespaces=\"file\" K\n!low,* K\n", false, false},
		{"an exclusion of another", "low namespaces=\"file\" K\n!high,l?w K\n", true, false},
		{"only exclusions", "low namespaces=\"file\" K\n!high K\n", false, false},
		{"a question mark for nothing", "low namespaces=\"file\" K\nlow? K\n", false, false},
		{"stars around", "low namespaces=\"file\" K\n*o* K\n", true, false},
		{"many stars", "low namespaces=\"file\" K\n**l**o**w** K\n", true, false},
		{"empty patterns", "low namespaces=\"file\" K\n,,low,, K\n", true, false},
		{"a list with a quoted space", "low namespaces=\"file\" K\n\"a b,low\" K\n", true, false},
		{"a pattern too long", "low namespaces=\"file\" K\nlow," + strings.Repeat("x", 1023) + " K\n", false, false},
		{"the longest pattern", "low namespaces=\"file\" K\nlow," + strings.Repeat("x", 1022) + " K\n", true, false},
		{"the namespace", "low namespaces=\"bundle@ecluse\" K\n", true, false},
		{"the namespace among others", "low namespaces=\"file,bundle@ecluse\" K\n", true, false},
		{"a pattern of namespaces", "low namespaces=\"*@ecluse\" K\n", true, false},
		{"a pattern and an exclusion", "low namespaces=\"*@ecluse,!bundle@*\" K\n", false, false},
		{"an exclusion of another namespace", "low namespaces=\"!session@ecluse,*\" K\n", true, false},
		{"another namespace", "low namespaces=\"session@ecluse\" K\n", false, false},
		{"part of the namespace", "low namespaces=\"bundle\" K\n", false, false},
		{"the namespace in capitals", "low namespaces=\"BUNDLE@ecluse\" K\n", false, false},
		{"no namespace", "low namespaces=\"\" K\n", false, false},
		{"space in the namespaces", "low namespaces=\"file, bundle@ecluse\" K\n", false, false},
		{"the option in capitals", "low NameSpaces=\"bundle@ecluse\" K\n", true, false},
		{"a quote in the namespaces", "low namespaces=\"a\\\"b,bundle@ecluse\" K\n", true, false},
		{"a backslash in the namespaces", "low namespaces=\"a\\b,bundle@ecluse\" K\n", true, false},
		{"a namespace without quotes", "low namespaces=bundle@ecluse K\n", false, false},
		{"an open quote", "low namespaces=\"bundle@ecluse K\n", false, false},
		{"namespaces twice", "low namespaces=\"bundle@ecluse\",namespaces=\"file\" K\n", false, false},
		{"an unknown option", "low colour=\"red\" K\n", false, false},
		{"an option of authorized_keys", "low no-pty K\n", false, false},
		{"valid since", "low valid-after=\"20260601Z\" K\n", true, false},
		{"valid since the second", "low valid-after=\"20260601120000Z\" K\n", true, false},
		{"valid from the next second on", "low valid-after=\"20260601120001Z\" K\n", false, false},
		{"valid until the second", "low valid-before=\"20260601120000Z\" K\n", true, false},
		{"valid until the second before", "low valid-before=\"20260601115959Z\" K\n", false, false},
		{"valid until the minute", "low valid-before=\"202606011200Z\" K\n", true, false},
		{"valid until a day", "low valid-before=\"20260602Z\" K\n", true, false},
		{"both ends", "low valid-after=\"20260101\",valid-before=\"20270101\" K\n", true, false},
		{"both ends and a namespace", "low valid-after=\"20260101\",namespaces=\"bundle@ecluse\",valid-before=\"20270101\" K\n", true, false},
		{"both ends, past", "low valid-after=\"20250101\",valid-before=\"20260101\" K\n", false, false},
		{"both ends, the wrong way", "low valid-after=\"20270101\",valid-before=\"20260101\" K\n", false, false},
		{"both ends the same", "low valid-after=\"20260601120000Z\",valid-before=\"20260601120000Z\" K\n", false, false},
		{"a small z", "low valid-after=\"20260601120000z\" K\n", true, false},
		{"UTC", "low valid-after=\"20260601120000UTC\" K\n", true, false},
		{"UTC, a second late", "low valid-after=\"20260601120001UTC\" K\n", false, false},
		{"local time", "low valid-after=\"20260601120000\" K\n", true, false},
		{"a year alone", "low valid-after=\"2026\" K\n", false, false},
		{"a date with dashes", "low valid-after=\"2026-01-01\" K\n", false, false},
		{"thirteenth month", "low valid-after=\"20251301\" K\n", false, false},
		{"valid-after twice", "low valid-after=\"20260101\",valid-after=\"20260101\" K\n", false, false},
		{"expired, then renewed", "low valid-before=\"20260101\" K\nlow valid-after=\"20260201\" K\n", true, false},
		{"a certificate authority", "low cert-authority K\n", false, false},
		{"a certificate authority for a namespace", "low cert-authority,namespaces=\"bundle@ecluse\" K\n", false, false},
		{"a kind that is not the key's", "low " + strings.Replace(key, "ssh-ed25519", "ssh-rsa", 1) + "\n", false, false},
		{"half a key", "low " + key[:60] + "\n", false, false},
		{"a key alone", "K\n", false, false},
		{"a name alone", "low\n", false, false},

		{"a pattern alone names no sender", "l* K\n", false, stricter},
		{"a list alone names no sender", "low,high K\n", false, stricter},
		{"two names for one key", "low K\nhigh K\n", false, stricter},
		{"a bad line of another sender", "high garbage\nlow K\n", false, stricter},
		{"a bad line behind", "low K\nlow garbage\n", false, stricter},
		{"a certificate authority behind", "low K\nhigh cert-authority O\n", false, stricter},
		{"a day that is not in the calendar", "low valid-after=\"20260231Z\" K\n", false, stricter},
		{"a name glued to its key by a quote", "\"low\"K\n", false, stricter},
		{"a quote within a name", "l\"ow\" K\n", false, stricter},
	} {
		text := strings.NewReplacer(" K", " "+key, " O", " "+other, "\"K", "\""+key, "\tK", "\t"+key).Replace(c.text)
		if strings.HasPrefix(c.text, "K") {
			text = key + text[1:]
		}
		ours, why := verdict(t, text, key, "low", "bundle@ecluse", noon, "UTC")
		theirs, out := s.verifies(t, text, "low", "bundle@ecluse", noon, "UTC")
		if ours != c.want {
			t.Errorf("%s: our verdict is %v: %v", c.name, ours, why)
		}
		if c.stricter != (ours != theirs) || ours && !theirs {
			t.Errorf("%s: ours %v (%v), theirs %v (%s)", c.name, ours, why, theirs, out)
		}
		if theirs {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 30 || refused < 30 {
		t.Errorf("ssh-keygen accepts %d and refuses %d: the table shows too little", accepted, refused)
	}
}

func TestLocalTimesAreThoseOfSSHKeygen(t *testing.T) {
	s, key := newStock(t)
	if _, err := os.Stat("/usr/share/zoneinfo/Australia/Sydney"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the system has no table of time zones (tzdata), so local times are not checked")
		}
		t.Skip("THE SYSTEM HAS NO TABLE OF TIME ZONES (tzdata): local times are not checked")
	}
	for _, zone := range []string{"Europe/Luxembourg", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "UTC"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		// Winter, summer, an hour that does not exist in Luxembourg, one that comes twice.
		for _, local := range []string{"20260115", "20260715", "202603290230", "20261025023000", "202607150130"} {
			edge, err := parseInstant(local, location)
			if err != nil {
				t.Fatal(err)
			}
			text := "low valid-after=\"" + local + "\" " + key + "\n"
			for _, c := range []struct {
				second int64
				want   bool
			}{{edge - 1, false}, {edge, true}} {
				at := time.Unix(c.second, 0).UTC().Format("20060102150405Z")
				ours, why := verdict(t, text, key, "low", "bundle@ecluse", at, zone)
				theirs, out := s.verifies(t, text, "low", "bundle@ecluse", at, zone)
				if ours != c.want || theirs != c.want {
					t.Errorf("%s in %s at %s: ours %v (%v), theirs %v (%s)", local, zone, at, ours, why, theirs, out)
				}
			}
		}
	}
}

func TestStrangeNamespacesAreMatchedAsSSHKeygenDoes(t *testing.T) {
	s, key := newStock(t)
	for _, namespaces := range []string{"*", "?", "a*", "a,b", "a?b", `a\"b`, "!*,a*", "", ",", "!a*,*", "a", "file", "*e"} {
		for namespace := range s.signatures {
			text := "low namespaces=\"" + namespaces + "\" " + key + "\n"
			ours, why := verdict(t, text, key, "low", namespace, "20260601Z", "UTC")
			theirs, out := s.verifies(t, text, "low", namespace, "20260601Z", "UTC")
			if ours != theirs {
				t.Errorf("%q in %q: ours %v (%v), theirs %v (%s)", namespace, namespaces, ours, why, theirs, out)
			}
		}
	}
}
