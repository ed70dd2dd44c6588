#!/usr/bin/env bash
# The race detector over packages: race.sh [FLAG...] PACKAGE...
set -euo pipefail
cd "$(dirname "$0")/.."
# SQLite, translated from C, keeps its data in memory of its own, which the detector does not watch: there it finds nothing and costs six times as much as all the rest. What passes data to
# it, the driver, is watched as all others are. make lint has vetted everything.
unwatched=() all=$(go list -deps ./...)
for p in modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory; do
	grep -qFx "${p%/...}" <<<"$all" || { echo "race: nobody imports $p any more" >&2; exit 1; }
	unwatched+=("-gcflags=$p=-race=false -d=checkptr=0")
done
CGO_ENABLED=1 exec go test -race -vet=off "${unwatched[@]}" "$@"
