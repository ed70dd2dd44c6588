package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface is a network interface.
type Interface struct {
	Name       string
	MTU        int
	Loopback   bool
	AnswersARP bool
	// Queueing is the discipline of its queue: "noqueue", "fq_codel", "mq" ... "" where it is not known.
	Queueing string
	// Offloads are ethtool's features by their names; nil where they are not known.
	Offloads map[string]bool

	link netlink.Link
}

// ErrNoInterface says that no interface of this machine has an address.
var ErrNoInterface = errors.New("no interface has this address")

// Toward gives the interface by which packets to an address leave.
func Toward(to netip.Addr) (*Interface, error) {
	routes, err := netlink.RouteGet(net.IP(to.Unmap().AsSlice()))
	if err != nil {
		return nil, fmt.Errorf("find the route to %s: %w", to, err)
	}
	if len(routes) == 0 {
		return nil, fmt.Errorf("find the route to %s: there is none", to)
	}
	l, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("look at the interface towards %s: %w", to, err)
	}
	return look(l)
}

// At gives the interface that has an address; ErrNoInterface where none has, as for an address that stands for any.
func At(address netip.Addr) (*Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", l.Attrs().Name, err)
		}
		for _, a := range list {
			if has, ok := netip.AddrFromSlice(a.IP); ok && has.Unmap() == address.Unmap() {
				return look(l)
			}
		}
	}
	return nil, fmt.Errorf("%s: %w", address, ErrNoInterface)
}

func look(l netlink.Link) (*Interface, error) {
	a := l.Attrs()
	i := &Interface{Name: a.Name, MTU: a.MTU, Loopback: a.Flags&net.FlagLoopback != 0, AnswersARP: a.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0, link: l}
	disciplines, err := netlink.QdiscList(l)
	if err != nil {
		return nil, fmt.Errorf("list the queues of %s: %w", a.Name, err)
	}
	for _, q := range disciplines {
		if q.Attrs().Parent == netlink.HANDLE_ROOT {
			i.Queueing = q.Type()
		}
	}
	if e, err := ethtool.NewEthtool(); err == nil {
		defer e.Close()
		if offloads, err := e.Features(a.Name); err == nil { // an interface without them is not worth an error
			i.Offloads = offloads
		}
	}
	return i, nil
}

// Neighbour says how packets to an address of this interface's network are addressed: permanent where the entry never has to be asked for, known where there is one at all.
func (i *Interface) Neighbour(of netip.Addr) (known, permanent bool, err error) {
	list, err := netlink.NeighList(i.link.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return false, false, fmt.Errorf("list the neighbours at %s: %w", i.Name, err)
	}
	for _, n := range list {
		if has, ok := netip.AddrFromSlice(n.IP); ok && has.Unmap() == of.Unmap() {
			return n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0, n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0, nil
		}
	}
	return false, false, nil
}
