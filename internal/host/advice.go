package host

import (
	"fmt"
	"slices"
	"strings"

	"ecluse/internal/config"
)

// Advice is one thing that slows a link down or loses, and what to type against it.
type Advice struct{ What, Text string }

// Sends advises on the interface of a link that goes out, with datagrams up to an MTU.
func (i *Interface) Sends(mtu int) (list []Advice) {
	what := "interface " + i.Name
	if i.MTU < mtu {
		list = append(list, Advice{what, fmt.Sprintf("its MTU is %d, and the link's is %d: ip link set dev %s mtu %d, at both ends and on all that stands between", i.MTU, mtu, i.Name, mtu)})
	}
	if !i.offers("tx-udp-segmentation") {
		list = append(list, Advice{what, "it does not cut large sends into datagrams, so the processor does: ethtool -K " + i.Name + " tx-udp-segmentation on"})
	}
	if !slices.Contains([]string{"", "noqueue", "noop", "mq", "pfifo", "pfifo_fast", "bfifo", "fq", "fq_codel"}, i.Queueing) {
		list = append(list, Advice{what, fmt.Sprintf("its queue is a %s, which delays or drops what the sender has paced already: tc qdisc replace dev %s root pfifo_fast", i.Queueing, i.Name)})
	}
	return list
}

// Receives advises on the interface of a link that comes in.
func (i *Interface) Receives() (list []Advice) {
	what := "interface " + i.Name
	if !i.offers("rx-gro") {
		list = append(list, Advice{what, "datagrams come up one by one, which costs several times the processor: ethtool -K " + i.Name + " gro on"})
	}
	if i.AnswersARP {
		list = append(list, Advice{what, "it answers ARP: nothing should leave by the diode (configs/networkd, configs/nftables/receiver.nft)"})
	}
	return list
}

// offers says whether an interface has a feature switched on. One that is not known is not complained of, nor is the loopback, which has no wire.
func (i *Interface) offers(feature string) bool {
	on, known := i.Offloads[feature]
	return on || !known || i.Loopback
}

// fastLink is the rate in bits a second from which on a processor that has to wake up first loses.
const fastLink = 1_000_000_000

// Processors advises on what sets their speed.
func Processors(governors []string, rate int64) (list []Advice) {
	slow := slices.DeleteFunc(slices.Clone(governors), func(g string) bool { return g == "performance" })
	if rate >= fastLink && len(slow) > 0 {
		list = append(list, Advice{"processors", "their speed follows the load (" + strings.Join(slow, ", ") + "), too late for a burst: cpupower frequency-set -g performance"})
	}
	return list
}

// Memory advises on what the links' blocks may take.
func Memory(wanted, available int64) (list []Advice) {
	if wanted > available {
		list = append(list, Advice{"memory", fmt.Sprintf("the links' blocks may take %s, and %s are left: set a smaller memory: in the configuration (low side: of the link; high side: at its top), or add memory", config.FormatBytes(wanted),
			config.FormatBytes(available))})
	}
	return list
}

// Thrown advises on what the machine has thrown away since it was started.
func (i *Interface) Thrown(c Counters) (list []Advice) {
	for _, x := range []struct {
		count uint64
		what  string
		text  string
	}{
		{c.Interface, "interface " + i.Name, "%d packets found no room in its ring: ethtool -G " + i.Name + " rx 4096"},
		{c.Backlog, "processors", "%d packets found their queue full: sysctl net.core.netdev_max_backlog=10000"},
		{c.Squeezed, "processors", "%d times more was waiting than one turn may take: sysctl net.core.netdev_budget=600 net.core.netdev_budget_usecs=8000"},
	} {
		if x.count > 0 {
			list = append(list, Advice{x.what, fmt.Sprintf(x.text, x.count)})
		}
	}
	return list
}

// Clock advises on the clock.
func Clock(synchronised bool) (list []Advice) {
	if !synchronised {
		list = append(list, Advice{"clock", "nobody keeps it right, and keys are valid by it: chrony, or systemd-timesyncd, with a source on this side of the diode"})
	}
	return list
}
