package host

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheLoopbackIsLookedAt(t *testing.T) {
	at, err := At(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if at.Name != "lo" || !at.Loopback || at.MTU < 1500 || at.AnswersARP || at.Queueing == "" {
		t.Errorf("%+v", at)
	}
	toward, err := Toward(netip.MustParseAddr("127.0.0.9"))
	if err != nil || toward.Name != "lo" {
		t.Errorf("%+v, %v", toward, err)
	}
	if list := append(at.Sends(9000), at.Receives()...); len(list) > 0 {
		t.Errorf("the loopback needs nothing: %v", list)
	}
	if _, err := at.Lost(); err != nil {
		t.Error(err)
	}
	if _, err := At(netip.MustParseAddr("203.0.113.77")); !errors.Is(err, ErrNoInterface) {
		t.Errorf("an address that nobody has: %v", err)
	}
}

// What is wrong with an interface is found on a real one: a pair of them that is made for it.
func TestAnInterfaceThatIsSetWrong(t *testing.T) {
	if os.Getuid() != 0 {
		text := "SKIPPED, INTERFACES ARE NOT TESTED: it needs root"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("ip", "link", "add", "eclhost0", "mtu", "1500", "type", "veth", "peer", "name", "eclhost1")
	t.Cleanup(func() { run("ip", "link", "del", "eclhost0") })
	run("ip", "address", "add", "198.51.100.1/30", "dev", "eclhost0")
	run("ip", "link", "set", "eclhost1", "up")
	run("ip", "link", "set", "eclhost0", "up")
	run("ethtool", "-K", "eclhost0", "tx-udp-segmentation", "off", "gro", "off")
	run("tc", "qdisc", "replace", "dev", "eclhost0", "root", "tbf", "rate", "100mbit", "burst", "64kb", "latency", "10ms")
	peer := netip.MustParseAddr("198.51.100.2")
	i, err := Toward(peer)
	if err != nil {
		t.Fatal(err)
	}
	found := advised(append(i.Sends(9000), i.Receives()...))
	for _, want := range []string{"mtu 9000", "tx-udp-segmentation on", "tc qdisc replace dev eclhost0", "gro on", "ARP"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not advised:\n%s", want, found)
		}
	}
	if known, permanent, err := i.Neighbour(peer); known || permanent || err != nil {
		t.Errorf("a neighbour that nobody has told of: %v, %v, %v", known, permanent, err)
	}
	run("ip", "neighbour", "replace", "198.51.100.2", "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eclhost0")
	if known, permanent, err := i.Neighbour(peer); !known || !permanent || err != nil {
		t.Errorf("a permanent neighbour: %v, %v, %v", known, permanent, err)
	}
	run("ethtool", "-K", "eclhost0", "tx-udp-segmentation", "on", "gro", "on")
	run("tc", "qdisc", "del", "dev", "eclhost0", "root")
	run("ip", "link", "set", "eclhost0", "arp", "off")
	if i, err = At(netip.MustParseAddr("198.51.100.1")); err != nil {
		t.Fatal(err)
	}
	if list := append(i.Sends(1500), i.Receives()...); len(list) > 0 {
		t.Errorf("all is well, and it advises %v", list)
	}
}

func advised(list []Advice) string {
	var b strings.Builder
	for _, a := range list {
		b.WriteString(a.What + ": " + a.Text + "\n")
	}
	return b.String()
}

func TestTheMachineIsLookedAt(t *testing.T) {
	if n, err := Available(); n < 1<<20 || err != nil {
		t.Errorf("%d bytes of memory, %v", n, err)
	}
	if _, err := Synchronised(); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	rate, err := Written(dir, 9<<20, time.Minute)
	if rate < 1<<20 || err != nil {
		t.Errorf("%v bytes a second, %v", rate, err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if _, err := Written(dir+"/none", 1<<20, time.Minute); err == nil {
		t.Error("a directory that is not there was measured")
	}
	for _, g := range Governors() {
		if g == "" {
			t.Error("a governor without a name")
		}
	}
}

func TestQueuesOfProcessorsAreAddedUp(t *testing.T) {
	backlog, squeezed, err := softnet("0000aa16 00000001 0000000f 00000000\n0000aa16 00000010 00000001 00000000\n")
	if backlog != 0x11 || squeezed != 0x10 || err != nil {
		t.Errorf("%d, %d, %v", backlog, squeezed, err)
	}
	if _, _, err := softnet("none\n"); err == nil {
		t.Error("what is no table was read")
	}
}

func TestAdviceSaysWhatToType(t *testing.T) {
	i := &Interface{Name: "diode"}
	for _, c := range []struct {
		name string
		list []Advice
		want []string // in each advice, in order; none for nothing to advise
	}{
		{"processors that follow the load", Processors([]string{"performance", "powersave", "schedutil"}, fastLink), []string{"cpupower frequency-set -g performance"}},
		{"a slow link needs no fast ones", Processors([]string{"powersave"}, fastLink-1), nil},
		{"fast processors", Processors([]string{"performance"}, fastLink), nil},
		{"a virtual machine", Processors(nil, fastLink), nil},
		{"memory for the window", Memory(128<<20, 128<<20), nil},
		{"no memory for the window", Memory(128<<20, 128<<20-1), []string{"memory:"}},
		{"nothing thrown away", i.Thrown(Counters{}), nil},
		{"everything thrown away", i.Thrown(Counters{1, 2, 3}), []string{"ethtool -G diode", "netdev_max_backlog", "netdev_budget"}},
		{"a clock that is kept", Clock(true), nil},
		{"a clock that is not", Clock(false), []string{"chrony"}},
	} {
		if len(c.list) != len(c.want) || slices.ContainsFunc(c.want, func(w string) bool { return !strings.Contains(advised(c.list), w) }) {
			t.Errorf("%s: %v, want %q", c.name, c.list, c.want)
		}
	}
}

func TestRulesAreOfAnInterfaceByItsWholeName(t *testing.T) {
	for _, rules := range []string{
		"chain out {\n\ttype filter hook egress device \"diode\" priority filter; policy drop;\n",
		"type filter hook egress device diode priority 0; policy drop;",
		"type filter hook ingress devices = { eth0, diode } priority filter;",
		"type filter hook ingress devices = { \"diode\", \"eth0\" } priority filter;",
	} {
		if !onDevice(rules, "diode") || onDevice(rules, "diod") || onDevice(rules, "iode") {
			t.Errorf("%q", rules)
		}
	}
	if onDevice("table netdev diode {\n}\n", "diode") {
		t.Error("a table of that name is no chain on it")
	}
}
