#!/usr/bin/env bash
# One count of scripts/counts: soak.sh NAME|fuzz|all [COUNT]. Without COUNT the full one is made.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/counts.sh
name=${1:?soak.sh NAME [COUNT]; the names stand in scripts/counts}
if [ "$name" = fuzz ]; then exec scripts/fuzz.sh 5m; fi
if [ "$name" = all ]; then
	for n in $(names) fuzz; do "$0" "$n"; done
	exit 0
fi
var=$(variable "$name")
[ -n "$var" ] || { echo "soak: no count is called $name; there are: $(names | xargs)" >&2; exit 2; }
beside=$(nproc)
required=$(count "$name" soak)
n=${2:-$required}
case $name in
matrix) package=./internal/lab tests=TestSoakMatrix ;;
large) package=./internal/lab tests=TestSoakLarge ;;
kill) package=./internal/lab tests=TestSoakKill ;;
powercut) package=./internal/lab tests=TestSoakPowerCut ;;
full) package=./internal/lab tests=TestSoakFull ;;
faults) package=./internal/lab tests=TestSoakFaults ;;
runbooks) package=./internal/lab tests=TestSoakRunbooks ;;
units) package=./internal/lab tests=TestSoakUnits ;;
race) package=./sender/pack tests=TestAnItemThatChanges ;;
garbage) package=./receiver/collect tests=TestSoakGarbage ;;
lossy) package=./receiver/collect tests=TestSoakLossy ;;
siege) package=./internal/lab tests=TestSoakSiege ;;
flood) package=./receiver/collect tests=TestSoakFlood ;;
transfers) package=./internal/sim tests=TestTransfers ;;
fec) package=./protocol/fec tests=TestSoakFEC ;;
walks) package=./receiver/chamber tests=TestNoWayFromQuarantine beside=5 ;; # they wait more than they work
points) package=./internal/points tests=TestPoints ;;
esac
out=$(mktemp)
trap 'rm -f "$out"' EXIT
echo "soak $name at $(git describe --always --dirty 2>/dev/null || echo unknown), $(nproc) cores: $n of $required required"
env "$var=$n" go test -count 1 -timeout 90m -parallel "$beside" -run "^$tests" -v "$package" | tee "$out"
if ! grep -q "^ *[a-z_]*\.go:[0-9]*: soak $name: $n done" "$out"; then
	echo "soak: $name did not say that $n were done" >&2
	exit 1
fi
echo "soak $name: done $n, required $required"
