#!/usr/bin/env bash
# What takes longer than make test and still belongs in every CI run: the race detector over every package, every fuzz target for FUZZTIME (10 s), and the
# reduced counts of scripts/counts. Each prints what it did beside what is required.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/counts.sh
began=$SECONDS
step() { local at=$SECONDS; echo "-- $*"; "$@"; echo "-- took $((SECONDS - at)) s"; }

# Every package under the race detector, but for those whose goroutines are programs of their own: lab and surface start the built binaries, sim and points run themselves below.
mapfile -t packages < <(go list ./... | grep -v -e /internal/lab$ -e /internal/surface$ -e /internal/sim$ -e /internal/points$)
[ "${#packages[@]}" -ge 30 ]
step env CGO_ENABLED=1 go test -race -timeout 900s "${packages[@]}"
for name in $(names); do
	n=$(count "$name" proof)
	if [ "$n" -gt 0 ]; then step scripts/soak.sh "$name" "$n"; fi
done
step scripts/fuzz.sh "${FUZZTIME:-10s}"
echo "make proof took $((SECONDS - began)) s"
