#!/usr/bin/env bash
# Installs one side of the gateway on a systemd machine: users, groups, directories, the program, its units, and a configuration.
#
#   scripts/install.sh sender   [--prefix /usr/local] [--root DIR] [--no-start] [-- --to ADDR ...]
#   scripts/install.sh receiver [--prefix /usr/local] [--root DIR] [--no-start] [-- --listen ADDR ...]
#
# Run it as root, after `make`. What stands after -- goes to `init`: keys and a configuration are made in /etc/ecluse, with the state in /var/lib/ecluse-SIDE and one
# tenant, default, in /var/spool/ecluse/default or /srv/import/default. Without it, or where there is a configuration already, none is made.
# Nothing that exists is overwritten but the program, its units and the samples; it may be run again for an upgrade. Rules and settings that are not this version's any more stay, and are told of.
# --root installs below DIR (for a package or an image), and touches neither users nor services nor configuration.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

die() { echo "install: $*" >&2; exit 1; }

side=${1:-}
case $side in sender | receiver) shift ;; *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
prefix=/usr/local root='' start=yes
while [ $# -gt 0 ]; do
	case $1 in
	--prefix) prefix=${2:?--prefix DIR}; shift 2 ;;
	--root) root=${2:?--root DIR}; shift 2 ;;
	--no-start) start=no; shift ;;
	--) shift; break ;;
	*) die "unknown option $1 (what is meant for init stands after --)" ;;
	esac
done
name=ecluse-$side state=/var/lib/ecluse-$side config=/etc/ecluse/$side.yaml doc=$prefix/share/doc/ecluse
case $side in
sender) key=/etc/ecluse/sender_ed25519 place=/var/spool/ecluse/default end=low groups='ecluse-view ecluse-operators' dropin=outbox ;;
receiver) key=/etc/ecluse/receiver.key place=/srv/import/default end=high groups='ecluse-view ecluse-release' dropin=import ;;
esac
[ -x "$here/bin/$name" ] || die "bin/$name is not there: run make first"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "needs root (or --root DIR)"
[ -z "$root" ] || [ $# = 0 ] || die "--root makes no configuration: leave out what stands after --"

file() { install -D -m "$1" "$2" "$root$3"; }
# kept FILE TARGET: what people may have changed stays, and what this version has stands among the samples.
kept() {
	local ours=$doc/${1##*/}
	file 0644 "$1" "$ours"
	if [ ! -e "$root$2" ]; then file 0644 "$1" "$2"
	elif ! cmp -s "$1" "$root$2"; then echo "install: $root$2 is not what this version brings, and stays as it is: compare it with $root$ours" >&2; fi
}
unit() { # unit MODE FILE TARGET: with the prefix in it
	local text
	text=$(sed "s#/usr/local/#$prefix/#g" "$2")
	install -D -m "$1" /dev/stdin "$root$3" <<<"$text"
}

people() {
	local g
	for g in $groups "$name"; do getent group "$g" >/dev/null || groupadd --system "$g"; done
	getent passwd "$name" >/dev/null || useradd --system --gid "$name" --home-dir "$state" --no-create-home --shell /usr/sbin/nologin "$name"
	# What failed is handed to the operators' group, and a daemon can only give what it is in.
	[ "$side" = receiver ] || usermod --append --groups ecluse-operators "$name"
}

programs() {
	file 0755 "$here/bin/$name" "$prefix/bin/$name"
	unit 0644 "$here/configs/systemd/$name.service" "/etc/systemd/system/$name.service"
	unit 0644 "$here/configs/systemd/ecluse-diode@.service" /etc/systemd/system/ecluse-diode@.service
	kept "$here/configs/nftables/$side.nft" /etc/ecluse/diode.nft
	kept "$here/configs/sysctl/60-ecluse.conf" /etc/sysctl.d/60-ecluse.conf
	kept "$here/configs/tmpfiles/$name.conf" "/etc/tmpfiles.d/$name.conf"
	file 0644 "$here/README.md" "$doc/README.md"
	file 0644 "$here/configs/$side.yaml" "$doc/$side.yaml"
	file 0644 "$here/configs/networkd/50-ecluse-$end.network" "$doc/50-ecluse-$end.network"
	file 0644 "$here/configs/systemd/$name.service.d/$dropin-example.conf" "$doc/$dropin-example.conf"
}

directories() {
	install -d -m 0755 /etc/ecluse
	install -d -m 0711 -o "$name" -g "$name" "$state"
}

# configure has init lay out a side, and moves what the daemon writes out of /etc, to it.
configure() {
	local drop=/etc/systemd/system/$name.service.d/$dropin-default.conf
	local told
	told=$("$prefix/bin/$name" init --dir /etc/ecluse "$@" 2>&1) || die "$told"
	sed '/^The .* stands in/,$d' <<<"$told" # the next steps are told below
	if [ "$side" = sender ]; then
		mv /etc/ecluse/state/epoch /etc/ecluse/state/ticket.key "$state/"
		chown "$name:" "$state/epoch" "$state/ticket.key"
		rmdir /etc/ecluse/state /etc/ecluse/outbox/default /etc/ecluse/outbox
		install -d -m 3770 -o "$name" -g ecluse-operators "$place"
		sed -i "s#/etc/ecluse/outbox/#/var/spool/ecluse/#" "$config"
	else
		rmdir /etc/ecluse/state /etc/ecluse/import/default /etc/ecluse/import
		install -d -m 2750 -o "$name" -g ecluse-release "$place"
		sed -i "s#/etc/ecluse/import/#/srv/import/#" "$config"
	fi
	sed -i "s#^state: .*#state: $state#" "$config"
	chmod 0644 "$config"
	chmod 0755 /etc/ecluse
	chown "$name:" "$key"
	sed "s#^ReadWritePaths=.*#ReadWritePaths=-$place#" "$here/configs/systemd/$name.service.d/$dropin-example.conf" | install -D -m 0644 /dev/stdin "$drop"
}

services() {
	[ "$start" = yes ] && [ -d /run/systemd/system ] || return 0
	sysctl --quiet --load=/etc/sysctl.d/60-ecluse.conf || echo "install: /etc/sysctl.d/60-ecluse.conf is not in force: it is loaded at the next boot, or by hand" >&2
	systemctl daemon-reload
	systemctl enable "$name"
}

programs
if [ -z "$root" ]; then
	people
	directories
	if [ $# -gt 0 ] && [ -e "$config" ]; then echo "install: $config is there already, and stays as it is" >&2
	elif [ $# -gt 0 ]; then configure "$@"; fi
	services
fi

cat <<EOT

$name is installed. What is left to do, as root (README.md, section Install, has it in full):

EOT
[ -e "$root$config" ] || echo "  - keys and a configuration: $0 $side -- ADDRESS AND FACTS makes both; $doc/$side.yaml explains what can be changed in $config afterwards"
cat <<EOT
  - the rules, and then the network: systemctl enable --now ecluse-diode@IFACE; $doc/50-ecluse-$end.network to /etc/systemd/network/
  - the other side's card, checked by its fingerprint: $name pair FILE.pair
  - systemctl start $name$([ -z "$root" ] && systemctl is-active --quiet "$name" 2>/dev/null && echo " (or restart: the program of before still runs)"), and then $name doctor
EOT
[ "$side" = sender ] || cat <<EOT
  - who decides: $name officer add NAME KEY.pub, for each officer; /etc/ecluse/officer_ed25519 is root's, for a first try, and to be ended then (see README.md, Release)
EOT
