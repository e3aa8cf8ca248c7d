#!/usr/bin/env bash
# Runs the demo many times, one after the other, every other one while each core has
# two busy loops; a line each, and a count at the end. The output of a demo that
# fails is kept.
#
#     demo-repeat.sh PROGRAM N [FOLDER]     such as demo-repeat.sh bin/p4evpn-demo 100
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
program=$(realpath "$1") n=$2 folder=${3:-/tmp/p4evpn-demos}
mkdir -p "$folder"

loops=()
quiet() { [ ${#loops[@]} = 0 ] || { kill "${loops[@]}"; wait "${loops[@]}"; } 2>/dev/null; loops=(); }
trap quiet EXIT
demo=
trap '[ -z "$demo" ] || { kill "$demo"; wait "$demo"; } 2>/dev/null; exit 130' INT TERM

passed=0
for ((i = 1; i <= n; i++)); do
	load=idle
	if ((i % 2 == 0)); then
		load=busy
		for ((k = 0; k < 2 * $(nproc); k++)); do
			(trap - EXIT; while :; do :; done) &
			loops+=($!)
		done
	fi
	SECONDS=0
	result=FAIL
	"$program" >"$folder/$i.log" 2>&1 &
	demo=$!
	if wait "$demo"; then # a signal is heard meanwhile, and not after the demo
		result=ok
		passed=$((passed + 1))
	fi
	demo= took=$SECONDS
	quiet
	printf '%-4s %3d/%d %s, %3d s; %s\n' $result "$i" "$n" $load "$took" "$(tail -1 "$folder/$i.log" | cut -c1-300)"
	[ $result = FAIL ] || rm "$folder/$i.log"
done
echo "$passed of $n demos passed; the output of those that did not is in $folder"
[ "$passed" = "$n" ]
