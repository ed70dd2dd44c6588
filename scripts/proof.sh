#!/usr/bin/env bash
# What takes longer than make test and still belongs in every CI run: the race detector over every package, every fuzz target for FUZZTIME (10 s), and the
# reduced counts of scripts/counts. Each prints what it did beside what is required.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/counts.sh
began=$SECONDS
step() { local at=$SECONDS; echo "-- $*"; "$@" || return; echo "-- took $((SECONDS - at)) s"; }

# counts NAME...: the reduced counts of these.
counts() {
	local name n
	for name in "$@"; do
		n=$(count "$name" proof)
		if [ "$n" -gt 0 ]; then step scripts/soak.sh "$name" "$n"; fi
	done
}

# What mostly waits, for sessions, silences and disks, goes beside the race detector, which takes all the processor; what it said is told behind that.
waiting=(kill powercut full faults runbooks)
told=$(mktemp)
trap 'wait; rm -f "$told"' EXIT
(counts "${waiting[@]}") >"$told" 2>&1 &
beside=$!

# Every package under the race detector, but for those whose goroutines are programs of their own: lab and surface start the built binaries, sim and points run themselves below.
mapfile -t packages < <(go list ./... | grep -v -e /internal/lab$ -e /internal/surface$ -e /internal/sim$ -e /internal/points$)
[ "${#packages[@]}" -ge 30 ]
failed=0
step scripts/race.sh -timeout 900s "${packages[@]}" || failed=1
wait "$beside" || failed=1
cat "$told"
[ "$failed" = 0 ]
mapfile -t others < <(names | grep -vxF "$(printf '%s\n' "${waiting[@]}")")
counts "${others[@]}"
step scripts/fuzz.sh "${FUZZTIME:-10s}"
echo "make proof took $((SECONDS - began)) s"
