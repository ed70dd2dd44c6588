#!/usr/bin/env bash
# What takes longer than make test and still belongs in every CI run: the race detector where goroutines meet, every fuzz target for FUZZTIME (10 s), and the
# reduced counts of scripts/counts. Each prints what it did beside what is required.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/counts.sh
began=$SECONDS
step() { local at=$SECONDS; echo "-- $*"; "$@"; echo "-- took $((SECONDS - at)) s"; }

step env CGO_ENABLED=1 go test -race -timeout 600s ./sender/dispatch ./sender/transmit ./sender/ledger ./receiver/collect ./receiver/assemble ./receiver/chamber ./receiver/ledger ./internal/udp ./internal/control
for name in $(names); do
	n=$(count "$name" proof)
	if [ "$n" -gt 0 ]; then step scripts/soak.sh "$name" "$n"; fi
done
step scripts/fuzz.sh "${FUZZTIME:-10s}"
echo "make proof took $((SECONDS - began)) s"
