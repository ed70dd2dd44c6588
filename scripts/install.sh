#!/usr/bin/env bash
# Installs one side of the gateway on a systemd machine: users, groups, directories, the program, its unit, and samples to start from.
#
#   scripts/install.sh sender|receiver [--prefix /usr/local] [--root DIR] [--no-start]
#
# Run it as root, after `make`. Nothing that exists is overwritten but the program, its unit and the samples; it may be run again for an upgrade.
# --root installs below DIR (for a package or an image) and touches neither users nor services.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

die() { echo "install: $*" >&2; exit 1; }

side=${1:-}
case $side in sender | receiver) shift ;; *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
prefix=/usr/local root='' start=yes
while [ $# -gt 0 ]; do
	case $1 in
	--prefix) prefix=${2:?--prefix DIR}; shift 2 ;;
	--root) root=${2:?--root DIR}; shift 2 ;;
	--no-start) start=no; shift ;;
	*) die "unknown option $1" ;;
	esac
done
name=ecluse-$side
[ -x "$here/bin/$name" ] || die "bin/$name is not there: run make first"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "needs root (or --root DIR)"

group() { getent group "$1" >/dev/null || groupadd --system "$1"; }
user() { getent passwd "$1" >/dev/null || useradd --system --gid "$1" --home-dir "/var/lib/$1" --shell /usr/sbin/nologin "$1"; }
file() { install -D -m "$1" "$2" "$root$3"; }
sample() { [ -e "$root$3" ] || file "$1" "$2" "$3"; }

if [ -z "$root" ]; then
	group ecluse
	group ecluse-view
	[ "$side" = sender ] || group ecluse-release
	group "$name"
	user "$name"
	usermod --append --groups ecluse "$name"
fi

file 0755 "$here/bin/$name" "$prefix/bin/$name"
sed "s#/usr/local/bin/#$prefix/bin/#" "$here/configs/systemd/$name.service" >"$here/bin/$name.service"
file 0644 "$here/bin/$name.service" "/etc/systemd/system/$name.service"
rm "$here/bin/$name.service"
for f in "$here"/configs/systemd/"$name".service.d/*.conf; do
	file 0644 "$f" "$prefix/share/doc/ecluse/$name.service.d/$(basename "$f")"
done
file 0644 "$here/configs/$side.yaml" "$prefix/share/doc/ecluse/$side.yaml"
file 0644 "$here/README.md" "$prefix/share/doc/ecluse/README.md"
file 0644 "$here/configs/sysctl/60-ecluse.conf" /etc/sysctl.d/60-ecluse.conf
file 0644 "$here/configs/nftables/$side.nft" "/etc/ecluse/$side.nft"
case $side in
sender) file 0644 "$here/configs/networkd/50-ecluse-low.network" "$prefix/share/doc/ecluse/50-ecluse-low.network" ;;
receiver) file 0644 "$here/configs/networkd/50-ecluse-high.network" "$prefix/share/doc/ecluse/50-ecluse-high.network" ;;
esac
grep -v "ecluse-$([ "$side" = sender ] && echo receiver || echo sender)" "$here/configs/tmpfiles/ecluse.conf" >"$here/bin/tmpfiles.conf"
sample 0644 "$here/bin/tmpfiles.conf" /etc/tmpfiles.d/ecluse.conf
rm "$here/bin/tmpfiles.conf"

if [ -z "$root" ]; then
	if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create /etc/tmpfiles.d/ecluse.conf; else
		install -d -m 0750 -g ecluse /etc/ecluse
		install -d -m 0750 -o "$name" -g "$name" "/var/lib/$name"
	fi
	if [ "$start" = yes ] && [ -d /run/systemd/system ]; then
		systemctl daemon-reload
		systemctl enable "$name"
	fi
fi

cat <<EOT
$name is installed. What is left to do, as root (README.md, section Install, has it in full):

  1. $name init --dir /etc/ecluse/$side ...       keys and a configuration, or write /etc/ecluse/$side.yaml from
                                                  $prefix/share/doc/ecluse/$side.yaml
  2. $name pair FILE.pair                         the other side's card, checked by its fingerprint
  3. the network: $prefix/share/doc/ecluse/50-ecluse-*.network, and nft -D diode=IFACE -f /etc/ecluse/$side.nft
  4. systemctl start $name; $name doctor
EOT
