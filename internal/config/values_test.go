package config

import (
	"encoding"
	"fmt"
	"strings"
	"testing"
	"time"
)

// form is one way to write a value; want is how it is written back, or "" where it is refused.
type form struct{ text, want string }

// check parses every form and what it is written back as.
func check[T any](t *testing.T, forms []form) {
	t.Helper()
	for _, f := range forms {
		var v, again T
		err := any(&v).(encoding.TextUnmarshaler).UnmarshalText([]byte(f.text))
		switch got := fmt.Sprint(v); {
		case f.want == "" && err == nil:
			t.Errorf("%q was taken as %s", f.text, got)
		case f.want == "" && !strings.Contains(err.Error(), fmt.Sprintf("%q", f.text)):
			t.Errorf("%q: the error does not say what was written: %v", f.text, err)
		case f.want == "":
		case err != nil || got != f.want:
			t.Errorf("%q is %s, %v; want %s", f.text, got, err, f.want)
		default:
			if err := any(&again).(encoding.TextUnmarshaler).UnmarshalText([]byte(got)); err != nil || any(again) != any(v) {
				t.Errorf("%q is written as %s, and read as %v, %v", f.text, got, again, err)
			}
		}
	}
}

func TestBytesAreWrittenAsPeopleDo(t *testing.T) {
	check[Bytes](t, []form{
		{"0", "0"}, {"0GiB", "0"}, {"4096", "4KiB"}, {"4096B", "4KiB"}, {"128MiB", "128MiB"}, {"128mib", "128MiB"}, {"128 MiB", "128MiB"}, {"10GB", "10GB"}, {"1.5GiB", "1536MiB"},
		{"0.5KiB", "512B"}, {"1000", "1kB"}, {"1001", "1001B"}, {"9223372036854775807", "9223372036854775807B"}, {"8191PiB", "8191PiB"},
		{"", ""}, {"B", ""}, {"-1", ""}, {"+1", ""}, {"1.5", ""}, {"1e3", ""}, {"1_000", ""}, {".5GiB", ""}, {"1.GiB", ""}, {"1..5GiB", ""}, {"1  MiB", ""}, {"1MiB ", ""}, {"1Mi", ""},
		{"9223372036854775808", ""}, {"8192PiB", ""}, {"1/2GiB", ""}, {"0x10", ""}, {strings.Repeat("9", 21), ""},
	})
}

func TestRatesAreWrittenAsPeopleDo(t *testing.T) {
	check[Rate](t, []form{
		{"900Mbit", "900Mbit"}, {"9Gbit/s", "9Gbit"}, {"1.5Gbit", "1500Mbit"}, {"900 mbit", "900Mbit"}, {"0bit", "0bit"}, {"1001bit", "1001bit"}, {"2Tbit", "2Tbit"},
		{"900", ""}, {"", ""}, {"900Mb", ""}, {"900MiB", ""}, {"-1Mbit", ""}, {"0.5bit", ""}, {"Mbit", ""}, {"10000000Tbit", ""}, {"1Gbit/h", ""},
	})
}

func TestPercentagesCannotBeMistakenForFractions(t *testing.T) {
	check[Percent](t, []form{
		{"1%", "1%"}, {"0.01", "1%"}, {"0.5%", "0.5%"}, {"0%", "0%"}, {"0", "0%"}, {"100%", "100%"}, {"1 %", "1%"}, {"0.07", "7%"}, {"33.3%", "33.3%"}, {"0.000001%", "0.000001%"},
		{"1", ""}, {"2", ""}, {"1.0", ""}, {"100.1%", ""}, {"-1%", ""}, {"%", ""}, {"", ""}, {"1%%", ""}, {"1e-2", ""}, {"5 ", ""}, {"half", ""},
	})
}

func TestSizesAreBytesOrAPart(t *testing.T) {
	check[Size](t, []form{{"5%", "5%"}, {"10GB", "10GB"}, {"0", "0"}, {"0%", "0"}, {"0.5%", "0.5%"}, {"", ""}, {"0.05", ""}, {"101%", ""}, {"5 percent", ""}})
	for text, want := range map[string]int64{"5%": 50, "0": 0, "100%": 1000, "10GB": 1e10} {
		if got := must(ParseSize(text)).Of(1000); got != want {
			t.Errorf("%s of 1000 is %d, want %d", text, got, want)
		}
	}
}

func TestDurationsHaveDays(t *testing.T) {
	check[Duration](t, []form{
		{"10ms", "10ms"}, {"2s", "2s"}, {"1h30m", "1h30m"}, {"90m", "1h30m"}, {"60m", "1h"}, {"0", "0s"}, {"0d", "0s"}, {"7d", "7d"}, {"168h", "7d"}, {"1d12h", "36h"}, {"1.5d", "36h"},
		{"36500d", "36500d"}, {"20m", "20m"}, {"1h0m1s", "1h0m1s"},
		{"", ""}, {"10", ""}, {"-1s", ""}, {"+1s", ""}, {"1d-1h", ""}, {"1d+1h", ""}, {"d", ""}, {"1d1d", ""}, {"5s1d", ""}, {"36501d", ""}, {"36500d2000000h", ""}, {"1w", ""}, {"1 d", ""},
	})
	if d := must(ParseDuration("7d")); d.Std() != 168*time.Hour {
		t.Errorf("a week is %v", d.Std())
	}
}

func TestModesAreOctal(t *testing.T) {
	check[Mode](t, []form{
		{"640", "0640"}, {"0640", "0640"}, {"3770", "03770"}, {"03770", "03770"}, {"000", "0000"}, {"7777", "07777"},
		{"", ""}, {"64", ""}, {"0o640", ""}, {"888", ""}, {"10000", ""}, {"17777", ""}, {"-640", ""}, {"006400", ""}, {"rw-", ""}, {"6_40", ""},
	})
	if m := must(ParseMode("3750")); m.Perm() != 0o750 {
		t.Errorf("permissions are %o", m.Perm())
	}
}

func TestAddressesAreNumbers(t *testing.T) {
	check[AddrPort](t, []form{
		{"10.77.0.2:4600", "10.77.0.2:4600"}, {"[fd00::2]:4600", "[fd00::2]:4600"}, {"[FD00:0::2]:1", "[fd00::2]:1"}, {"127.0.0.1:0", "127.0.0.1:0"}, {"[fe80::1%eth0]:1", "[fe80::1%eth0]:1"},
		{"", ""}, {"10.77.0.2", ""}, {":4600", ""}, {"fd00::2:4600", ""}, {"[fd00::2]", ""}, {"host:1", ""}, {"10.77.0.2:http", ""}, {"10.77.0.2:-1", ""}, {"10.77.0.2:65536", ""},
		{"010.77.0.2:1", ""}, {"10.77.0.2:1 ", ""},
	})
	if s := (AddrPort{}).String(); s != "" {
		t.Errorf("no address is written %q", s)
	}
}

func TestPeopleReadThreeDigits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "0.98 KiB", 1536: "1.50 KiB", 3 << 29: "1.50 GiB", 1023 << 20: "1.00 GiB", 1<<63 - 1: "8.00 EiB", -1: "-1 B"} {
		if got := FormatBytes(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0 bit/s", 999: "999 bit/s", 9.21e9: "9.21 Gbit/s", 99.96e6: "100 Mbit/s", 9.996e6: "10.0 Mbit/s", 2e15: "2000 Tbit/s"} {
		if got := FormatRate(x); got != want {
			t.Errorf("%g bit/s are %s, want %s", x, got, want)
		}
	}
}

func TestValuesAreFlagsToo(t *testing.T) {
	type flag interface {
		String() string
		Set(string) error
		Type() string
	}
	for text, v := range map[string]flag{"128MiB": new(Bytes), "9Gbit": new(Rate), "1%": new(Percent), "10ms": new(Duration), "10.0.0.1:1": new(AddrPort)} {
		if err := v.Set(text); err != nil || v.String() != text || v.Type() == "" {
			t.Errorf("%s: %v, %s", text, err, v)
		}
		if err := v.Set("?"); err == nil || v.Set(text) != nil {
			t.Errorf("%s takes a question mark", v.Type())
		}
	}
}

func TestASuggestionIsNearOrNone(t *testing.T) {
	fields := map[string]field{"weight": {}, "outbox": {}, "name": {}}
	for key, want := range map[string]string{
		"wieght": "did you mean weight?", "Name": "did you mean name?", "nmae": "did you mean name?", "outboxes": "did you mean outbox?", "x": "known here: name, outbox, weight",
		"wght": "known here: name, outbox, weight", "names": "did you mean name?",
	} {
		if got := suggest(key, fields); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}
