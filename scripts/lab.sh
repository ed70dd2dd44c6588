#!/usr/bin/env bash
# A diode on one machine: two network namespaces joined by a pair of virtual interfaces over which nothing goes back.
#
#   scripts/lab.sh up [MTU] [LOSS]    make it (default 1500, 0); LOSS in percent (0, 1, 2.5), drawn for each datagram
#   scripts/lab.sh down               remove it
#   scripts/lab.sh loss PERCENT       change the loss
#   scripts/lab.sh outage on|off      drop everything, or no longer
#   scripts/lab.sh returned           print how many packets came back to the low side (must be 0), and how many tried
#   scripts/lab.sh low COMMAND...     run a command on the low side; high COMMAND... on the high side
#
# The low side is 10.77.0.1, the high side 10.77.0.2. LAB=name makes a second lab beside the first. OFFLOAD=off has datagrams cross one by one, as on a
# real wire (always so where there is loss: a dropped packet would otherwise be up to 64 kB of them).
# It needs root, iproute2, nftables and ethtool.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
lab=${LAB:-ecluse}
low=$lab-low high=$lab-high
rules=$here/configs/nftables

die() { echo "lab: $*" >&2; exit 1; }
in_low() { ip netns exec "$low" "$@"; }
in_high() { ip netns exec "$high" "$@"; }

up() {
	local mtu=${1:-1500} loss=${2:-0} low_mac=02:00:00:77:00:01 high_mac=02:00:00:77:00:02
	[ "$(id -u)" = 0 ] || die "needs root"
	for tool in ip nft ethtool; do command -v $tool >/dev/null || die "needs $tool (packages iproute2, nftables, ethtool)"; done
	down
	ip netns add "$low"
	ip netns add "$high"
	for ns in "$low" "$high"; do
		ip netns exec "$ns" sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
		ip -n "$ns" link set lo up
	done
	ip -n "$low" link add diode mtu "$mtu" address $low_mac type veth peer name diode mtu "$mtu" address $high_mac netns "$high"
	ip -n "$low" address add 10.77.0.1/24 dev diode
	ip -n "$high" address add 10.77.0.2/24 dev diode
	for ns in "$low" "$high"; do ip -n "$ns" link set diode arp off; done
	for ns in "$low" "$high"; do ip -n "$ns" link set diode up; done
	ip -n "$low" neighbour replace 10.77.0.2 lladdr $high_mac nud permanent dev diode
	ip -n "$high" neighbour replace 10.77.0.1 lladdr $low_mac nud permanent dev diode
	in_low nft -D diode=diode -f "$rules/sender.nft"
	in_high nft -D diode=diode -f "$rules/receiver.nft"
	if [ "${OFFLOAD:-on}" = off ] || [ "$loss" != 0 ]; then one_by_one; fi
	set_loss "$loss"
}

# one_by_one has the low side cut large sends into datagrams before they cross.
one_by_one() {
	in_low ethtool -K diode tx-udp-segmentation off >/dev/null
	in_high ethtool -K diode gro off >/dev/null
}

# set_loss drops at the far end of the wire, before the receiving host counts anything.
set_loss() {
	local part
	part=$(awk -v l="$1" 'BEGIN { printf "%d", l * 1000 + 0.5 }')
	in_high nft add table netdev lab 2>/dev/null || true
	in_high nft delete table netdev lab
	[ "$part" -gt 0 ] || return 0
	[ "$part" -lt 100000 ] || { outage on; return; }
	one_by_one
	in_high nft -f - <<-EOT
		table netdev lab {
			chain loss {
				type filter hook ingress device diode priority -10; policy accept;
				numgen random mod 100000 < $part counter drop
			}
		}
	EOT
}

outage() {
	in_high nft add table netdev lab_outage 2>/dev/null || true
	in_high nft delete table netdev lab_outage
	case $1 in
	off) ;;
	on) in_high nft -f - <<-EOT
		table netdev lab_outage {
			chain outage { type filter hook ingress device diode priority -20; policy drop; }
		}
	EOT
	;;
	*) die "outage on|off" ;;
	esac
}

returned() {
	local came tried
	came=$(in_low nft -j list counter netdev ecluse_sender entered | jq '.nftables[1].counter.packets')
	tried=$(in_high nft -j list counter netdev ecluse_receiver left | jq '.nftables[1].counter.packets')
	echo "returned $came tried $tried"
}

down() {
	local ns
	for ns in "$low" "$high"; do
		if ip netns list | grep -qE "^$ns( |$)"; then ip netns delete "$ns"; fi
	done
}

case ${1:-} in
up) shift; up "$@" ;;
down) down ;;
loss) set_loss "${2:?lab: loss PERCENT}" ;;
outage) outage "${2:?lab: outage on|off}" ;;
returned) returned ;;
low) shift; in_low "$@" ;;
high) shift; in_high "$@" ;;
*) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
