#!/usr/bin/env bash
# Every fuzz target of the project, one after the other: fuzz.sh [TIME], 10s each by default. Fewer targets than are expected is a failure: one was renamed or lost.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
least=21 done=0
while IFS=: read -r file _ line; do
	target=$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' <<<"$line")
	echo "fuzz $target ($(dirname "$file"), $time)"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 50x -parallel 2 "./$(dirname "$file")" >/tmp/fuzz.$$ 2>&1 || { cat /tmp/fuzz.$$; rm -f /tmp/fuzz.$$; exit 1; }
	grep execs /tmp/fuzz.$$ | tail -n 1
	done=$((done + 1))
done < <(grep -rn '^func Fuzz' --include='*_test.go' protocol sender receiver internal)
rm -f /tmp/fuzz.$$
echo "fuzz: $done targets done, $least required"
[ "$done" -ge "$least" ]
