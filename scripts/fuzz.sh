#!/usr/bin/env bash
# Every fuzz target of the project for a time, 10s by default: fuzz.sh [TIME]. As many run at once as there are cores, each with one worker.
# Fewer targets than are expected is a failure: one was renamed or lost.
set -euo pipefail
cd "$(dirname "$0")/.."
export time=${1:-10s} said
least=24
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

# one FOLDER TARGET
one() {
	local out=$said/${1//\//-}-$2 tries=0 ended=1
	# Where the time ends while a worker is being asked, go test calls that a failure, "context deadline exceeded", and has no input to show for it: then once more.
	while [ $ended = 1 ] && [ $((tries += 1)) -le 3 ]; do
		ended=0
		go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 50x -parallel 1 "./$1" >"$out" 2>&1 && break
		ended=2
		if grep -q '^ *context deadline exceeded$' "$out" && ! grep -q 'Failing input' "$out"; then ended=1; fi
	done
	if [ $ended = 0 ]; then
		echo "fuzz $2 ($1, $time): $(grep execs "$out" | tail -n 1)"
		echo "$2" >>"$said/done"
	else
		echo "fuzz $2 ($1, $time) FAILED"
		cat "$out"
	fi
}
export -f one

grep -rn '^func Fuzz' --include='*_test.go' protocol sender receiver internal |
	sed 's#/[^/]*:[0-9]*:func \(Fuzz[A-Za-z0-9_]*\)(.*# \1#' >"$said/targets"
xargs -P "$(nproc)" -L 1 bash -c 'one "$@"' - <"$said/targets"
all=$(wc -l <"$said/targets") done=$(cat "$said/done" 2>/dev/null | wc -l)
echo "fuzz: $done of $all targets done, $least required"
[ "$done" -eq "$all" ] && [ "$done" -ge "$least" ]
