#!/usr/bin/env bash
# A gateway on this machine, from nothing to an imported directory: both sides run on loopback, in a directory that is removed at the end.
# It needs bin/ecluse-sender and bin/ecluse-receiver (make), and ssh-keygen, sha256sum and jq where they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/bin:$PATH
dir=$(mktemp -d "${TMPDIR:-/tmp}/ecluse-demo.XXXXXX")
low=$dir/low high=$dir/high pids=()

stop() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then b=$'\e[1m' n=$'\e[0m'; else b= n=; fi
say() { printf '\n%s%s%s\n' "$b" "$*" "$n"; }
run() { # shows a command as it can be typed
	local word line=
	for word; do
		case $word in *" "*) word="\"$word\"" ;; esac
		line="$line $word"
	done
	printf '$%s\n' "${line//$dir/DEMO}"
	"$@"
}
until_true() { # until_true SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		if [ $SECONDS -ge $end ]; then
			echo "demo: waited in vain for: $what" >&2
			tail -n 20 "$dir"/*.log >&2
			exit 1
		fi
		sleep 0.1
	done
}

port=$((20000 + RANDOM % 20000))

say "1. Two sides, each with its keys. Public cards are carried across by hand, and checked by fingerprint."
run ecluse-receiver init --dir "$high" --listen 127.0.0.1:$port
run ecluse-sender init --dir "$low" --to 127.0.0.1:$port --rate 900Mbit
run ecluse-sender pair --config "$low/sender.yaml" --yes "$high/receiver.pair"
run ecluse-receiver pair --config "$high/receiver.yaml" --yes "$low/sender.pair"

say "2. Both daemons start. Light goes from low to high only."
ecluse-receiver run --config "$high/receiver.yaml" 2>"$dir/receiver.log" &
pids+=($!)
ecluse-sender run --config "$low/sender.yaml" 2>"$dir/sender.log" &
pids+=($!)
opened() { ecluse-receiver status --config "$high/receiver.yaml" --json 2>/dev/null | grep -q '"state": *"open"'; }
until_true 20 "a session" opened

say "3. An operator drops a directory: the source code of Go's cryptography."
src=$(go env GOROOT)/src/crypto
cp -r "$src" "$dir/crypto"
run du -sh --apparent-size "$dir/crypto"
run mv "$dir/crypto" "$low/outbox/default/"

say "4. It stands in quarantine on the high side, whole and verified, and goes no further."
quarantined() { ecluse-receiver list --config "$high/receiver.yaml" --state quarantined --json 2>/dev/null | grep -q '"bundle"'; }
until_true 30 "the bundle in quarantine" quarantined
run ecluse-receiver list --config "$high/receiver.yaml"
bundle=$(ecluse-receiver list --config "$high/receiver.yaml" --state quarantined --json | grep -o '"bundle": *"[a-z2-7]*"' | head -n 1 | grep -o '[a-z2-7]\{26\}')

say "5. The security team checks it with the tools it has."
if ! command -v ssh-keygen >/dev/null; then echo "(ssh-keygen is not installed here: package openssh-client)"; else
cd "$high"/state/quarantine/default/"$bundle"
sender=$(grep -o '"sender":"[^"]*"' manifest.json | cut -d'"' -f4)
printf '$ ssh-keygen -Y verify -f allowed_signers -I %s -n bundle@ecluse -s manifest.json.sig < manifest.json\n' "$sender"
ssh-keygen -Y verify -f "$high/allowed_signers" -I "$sender" -n bundle@ecluse -s manifest.json.sig <manifest.json
printf '$ echo "$(jq -r .sums manifest.json)  SHA256SUMS" | sha256sum -c\n'
echo "$(grep -o '^"sums":"[0-9a-f]*"' manifest.json | cut -d'"' -f4)  SHA256SUMS" | sha256sum -c
printf '$ sha256sum -c --quiet SHA256SUMS && wc -l < SHA256SUMS\n'
sha256sum -c --quiet SHA256SUMS && wc -l <SHA256SUMS
cd - >/dev/null
fi

say "6. An officer releases it by her signature, and it is imported."
run ecluse-receiver approve --config "$high/receiver.yaml" --reason "checked in the demo" "$bundle"
if command -v ssh-keygen >/dev/null && command -v jq >/dev/null; then
	ecluse-receiver show --config "$high/receiver.yaml" --json "$bundle" >"$dir/show.json"
	officer=$(jq -r '.decisions[0].officer' "$dir/show.json")
	jq -j '.decisions[0].document' "$dir/show.json" >"$dir/decision"
	jq -j '.decisions[0].signature' "$dir/show.json" >"$dir/decision.sig"
	printf '$ ssh-keygen -Y verify -f officers -I %s -n release@ecluse -s decision.sig < decision\n' "$officer"
	ssh-keygen -Y verify -f "$high/officers" -I "$officer" -n release@ecluse -s "$dir/decision.sig" <"$dir/decision"
fi
until_true 20 "the import" test -e "$high/import/default/crypto"
run ls "$high/import/default"
diff -r "$src" "$high/import/default/crypto"
echo "identical to what was dropped"
run ecluse-receiver list --config "$high/receiver.yaml"

say "That was a diode. Next: README.md, section Install."
