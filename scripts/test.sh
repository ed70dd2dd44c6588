#!/usr/bin/env bash
# Every package, and both programs in the lab. At most 8 minutes on two cores. What cannot run here says so loudly; under CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
go test -timeout 480s $(go list ./... | grep -v -e /internal/lab$ -e /internal/surface$)
# The surface and the lab measure times on real sockets: they go after the others, and alone. What measures none of either, and mostly waits, goes beside each other.
go test -timeout 240s -parallel 6 ./internal/surface
go test -timeout 360s -parallel 6 ./internal/lab
echo "make test took $((SECONDS - began)) s"
