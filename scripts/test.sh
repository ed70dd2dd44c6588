#!/usr/bin/env bash
# Every package, and both programs in the lab. At most 8 minutes on two cores. What cannot run here says so loudly; under CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
# Three packages at once: the surface, which runs the programs too, mostly waits for them.
go test -p 3 -timeout 480s $(go list ./... | grep -v /internal/lab$)
# The lab measures times: it goes after the others, and alone.
go test -timeout 360s ./internal/lab
echo "make test took $((SECONDS - began)) s"
