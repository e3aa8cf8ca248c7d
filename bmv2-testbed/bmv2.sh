#!/bin/sh
# Starts BMv2 for p4evpn: without a program, which the controller pushes, and with
# room for the copies of floods.
#
#     bmv2.sh PORT@INTERFACE...        such as bmv2.sh 1@vf1 10@eth1 11@up1-sw
#
# The host's own network stack is kept off the interfaces by `p4evpn claim --in`,
# which is P4EVPN (p4evpn, on PATH); `p4evpn claim --release INTERFACE` gives them
# back. UNSAFE_SHARED_DEVICES=1 does without.
#
# GRPC (127.0.0.1:9559, or unix:PATH), THRIFT (9090) and DEVICE_ID (1) say where it
# serves, and as what.
set -eu

: "${P4EVPN:=p4evpn}" "${UNSAFE_SHARED_DEVICES:=}"
: "${GRPC:=127.0.0.1:9559}" "${THRIFT:=9090}" "${DEVICE_ID:=1}"
[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
command -v simple_switch_grpc >/dev/null || {
	echo "bmv2.sh: simple_switch_grpc is not on PATH: see docs/bmv2.md" >&2
	exit 1
}

interfaces= devices=
for port; do
	case $port in
	*[!0-9]*@* | @* | *@) echo "bmv2.sh: $port is no PORT@INTERFACE" >&2; exit 2 ;;
	[0-9]*@*) interfaces="$interfaces -i $port" devices="$devices ${port#*@}" ;;
	*) echo "bmv2.sh: $port is no PORT@INTERFACE" >&2; exit 2 ;;
	esac
	[ -e "/sys/class/net/${port#*@}" ] || { echo "bmv2.sh: there is no interface ${port#*@}" >&2; exit 1; }
done

# BMv2 would share its interfaces with the host: whoever is behind one would reach it.
# shellcheck disable=SC2086 # devices is a list
[ -n "$UNSAFE_SHARED_DEVICES" ] || "$P4EVPN" claim --in $devices || {
	echo "bmv2.sh: the interfaces cannot be claimed; UNSAFE_SHARED_DEVICES=1 uses them all the same" >&2
	exit 1
}

# BMv2's own queue of 64 frames a port loses the rest of a flood. It can be told
# otherwise only when it runs.
(
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 1
		echo set_queue_depth 4096 | simple_switch_CLI --thrift-port "$THRIFT" 2>&1 | grep -q 'Could not connect' || exit 0
	done
	echo "bmv2.sh: the depth of the queues could not be set at Thrift port $THRIFT" >&2
) &

# shellcheck disable=SC2086 # interfaces is a list
exec simple_switch_grpc --no-p4 --device-id "$DEVICE_ID" --thrift-port "$THRIFT" \
	--log-console --log-level warn $interfaces \
	-- --grpc-server-addr "$GRPC" --cpu-port 510 \
	--max-mc-groups 8192 --max-l1-entries 131072 --max-l2-entries 131072
