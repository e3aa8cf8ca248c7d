#!/bin/bash
# Runs inside a fresh Debian that systemd booted: /root/deb has the packages 0.0.1,
# 0.0.2, and 0.0.3 with another configuration. Each claim that holds is one line "ok:";
# the first that does not ends the run, with what the units said.
set -eu -o pipefail
trap 'status=$?; [ $status = 0 ] || journalctl --no-pager -o cat -u p4evpn -u p4evpn-switch | tail -50' EXIT
export DEBIAN_FRONTEND=noninteractive

ok() {
	echo "ok: $*"
}
until_true() { # until_true COMMAND...
	local end=$((SECONDS + 30))
	while [ $SECONDS -lt $end ]; do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	echo "not within 30 s: $*"
	"$@"
}
not() { # what ! would not: end the run
	if "$@"; then return 1; fi
}
pid() {
	systemctl show -P MainPID "$1"
}
gateway() {
	p4evpn --api unix:/run/p4evpn/api.sock "$@"
}

# As udev makes it, of which a container has none.
mkdir -p /dev/net
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
chmod 666 /dev/net/tun

dpkg -i /root/deb/p4evpn_0.0.1_*.deb
not systemctl is-active --quiet p4evpn p4evpn-switch
not systemctl is-enabled --quiet p4evpn p4evpn-switch
ok nothing is started before it is configured
[ "$(stat -c '%U:%G %a' /etc/p4evpn/p4evpn.yaml)" = 'root:p4evpn 640' ]
ok the configuration is for the gateway and root alone
[ -z "$(systemd-analyze verify p4evpn.service p4evpn-switch.service p4evpn-liveness.service 2>&1)" ]
ok the units have nothing that systemd does not know
systemd-analyze security --offline=true --threshold=30 p4evpn.service p4evpn-switch.service p4evpn-liveness.service >/dev/null
ok the units are exposed by 3.0 at most

systemctl enable --now p4evpn-switch p4evpn
gateway list switch-port >/dev/null
ok the gateway is ready with the configuration as it came

for n in 1 2; do
	ip netns add h$n
	ip link add vf$n type veth peer name eth0 netns h$n
	ip link set vf$n up
	ip -n h$n link set lo up
	ip -n h$n link set eth0 up
	ip -n h$n address add 10.10.0.1$n/24 dev eth0
done
sed -i 's/^# ports:/ports:/
	s/^#   - {name: port1, .*/  - {name: port1, number: 1, interface: vf1}\n  - {name: port2, number: 2, interface: vf2}/' \
	/etc/p4evpn/p4evpn.yaml
systemctl restart p4evpn-switch p4evpn
gateway create vrf blue-vrf --vni 5000 --loopback-ip-prefix 10.0.0.1/32 --vtep-ip-prefix 10.0.0.1/32
gateway create bridge blue-lan --vlan-id 10 --vni 100 --vtep-ip-prefix 10.0.0.1/32
for n in 1 2; do
	gateway create port port$n --mac-address 02:00:00:00:00:0$n --ptype access --logical-bridges blue-lan
done
gateway create svi blue-svi --vrf blue-vrf --logical-bridge blue-lan --mac-address 02:00:5e:00:00:01 \
	--gw-ip-prefix 10.10.0.1/24
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.12
ok hosts at two ports reach each other
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.1
ok the gateway of the bridge answers
[ -n "$(nsenter --target "$(pid p4evpn)" --mount ip netns list)" ]
ok the namespaces of VRFs are seen from the mounts of the gateway

switch=$(pid p4evpn-switch) old=$(pid p4evpn)
ip netns exec h1 ping -i 0.005 10.10.0.12 >/root/ping.log &
pinging=$!
until_true grep -q 'icmp_seq=20 ' /root/ping.log
dpkg -i /root/deb/p4evpn_0.0.2_*.deb
gateway list switch-port >/dev/null
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.1
kill -INT $pinging
wait $pinging || true
[ "$(p4evpn --version)" = 'p4evpn version 0.0.2' ]
[ "$(pid p4evpn)" != "$old" ]
[ "$(pid p4evpn-switch)" = "$switch" ]
ok an upgrade starts the gateway anew and lets the switch go on
tail -3 /root/ping.log
grep -q ' 0% packet loss' /root/ping.log
ok an upgrade loses nothing
gateway get bridge blue-lan >/dev/null
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.1
ok the objects outlive an upgrade

kill -9 "$(pid p4evpn)" "$(pid p4evpn-switch)"
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.12
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.1
ok both come back when they are killed

before=$(md5sum /etc/p4evpn/p4evpn.yaml)
dpkg -i --force-confdef /root/deb/p4evpn_0.0.3_*.deb
[ "$(md5sum /etc/p4evpn/p4evpn.yaml)" = "$before" ]
[ -e /etc/p4evpn/p4evpn.yaml.dpkg-dist ]
[ "$(stat -c '%U:%G %a' /etc/p4evpn/p4evpn.yaml)" = 'root:p4evpn 640' ]
ok a configuration that was changed by hand stays as it is

systemctl restart p4evpn-switch
until_true ip netns exec h1 ping -c 1 -W 1 10.10.0.12
ok the new switch is had by a restart

dpkg -r p4evpn
ls -l /proc/[0-9]*/exe >/root/processes 2>/dev/null || true
not grep p4evpn /root/processes
[ -e /var/lib/p4evpn/p4evpn.db ]
[ -e /etc/p4evpn/p4evpn.yaml ]
ok a removal ends both and keeps store and configuration
dpkg -P p4evpn
for path in /var/lib/p4evpn /etc/p4evpn /run/p4evpn /run/p4evpn-netns \
	/etc/systemd/system/multi-user.target.wants/p4evpn.service; do
	not ls -laR $path 2>/dev/null
done
ok a purge leaves nothing
