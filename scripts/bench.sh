#!/usr/bin/env bash
# The benchmark of the built programs in the lab, beside raw UDP, dd and udpcast in the same run: bench.sh [CASE[,CASE...]]. Without cases all of them. Needs root.
# REPEAT=5 says how often each is repeated; the figures are also written as JSON lines to build/bench.jsonl. DISK=DIR says where the disk is that is meant.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v udp-sender >/dev/null && [ "$(id -u)" = 0 ]; then apt-get install -y -q udpcast >/dev/null 2>&1 || echo "bench: udpcast cannot be installed here, and is left out" >&2; fi
mkdir -p build
export ECLUSE_BENCH=${1:-all} ECLUSE_BENCH_REPEAT=${REPEAT:-5} ECLUSE_BENCH_OUT=$PWD/build/bench.jsonl ECLUSE_BENCH_DISK=${DISK:-}
go test ./internal/lab -count 1 -timeout 6h -run '^TestBench$' -v | grep -vE '^(=== RUN|--- PASS|PASS|ok )'
