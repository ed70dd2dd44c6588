#!/usr/bin/env bash
# Installs what the tests use beside Go, make and git: from Debian's packages, where this is root on such a machine, and versitygw by go install. Elsewhere it says what is missing; tests that
# need it then say loudly that they were skipped (and fail where CI=true).
set -euo pipefail

# command:package
needed=(ip:iproute2 nft:nftables ethtool:ethtool jq:jq ssh-keygen:openssh-client sha256sum:coreutils python3:python3 mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs ss:iproute2
	clamd:clamav-daemon c-icap:c-icap docker-registry:docker-registry skopeo:skopeo)

# Release by two people takes the group that those who release are in; the installer makes it too.
if [ "$(id -u)" = 0 ] && ! getent group ecluse-release >/dev/null; then
	echo "making the group ecluse-release"
	groupadd --system ecluse-release
fi
missing=()
for n in "${needed[@]}"; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${n%%:*}" >/dev/null || missing+=("${n##*:}")
done
compgen -G '/usr/lib/*/c_icap/virus_scan.so' >/dev/null || missing+=(libc-icap-mod-virus-scan)

# A store that speaks S3: built once, outside this tree; it takes about a minute on two cores, beside the packages.
store=github.com/versity/versitygw/cmd/versitygw@v1.8.0
trap 'wait' EXIT
if ! PATH=$PATH:$(go env GOPATH)/bin command -v versitygw >/dev/null; then
	echo "building versitygw"
	(cd / && GOBIN=$(go env GOPATH)/bin go install -ldflags '-s -w' $store || echo "missing, and it could not be built: $store" >&2) &
fi
[ ${#missing[@]} -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# Scanners are started by the tests that need them, with signatures of their own: nothing is to fetch some, or to listen, because it was installed.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d; wait' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod +x /usr/sbin/policy-rc.d
	fi
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
	echo "missing, and not installed (this is not root on Debian): ${missing[*]}" >&2
fi
