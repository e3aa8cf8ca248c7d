#!/bin/sh
# Installs what the demo, the end-to-end tests and the race detector need beside
# Go, on Debian and its relatives. Without root it says what to install.
set -eu

missing=
need() { # need PROGRAM PACKAGE
	PATH=$PATH:/usr/lib/frr:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need_module() { # need_module MODULE PACKAGE: of Debian's Python
	/usr/bin/python3 -c "import $1" >/dev/null 2>&1 || missing="$missing $2"
}
need ip iproute2
need ping iputils-ping
need zebra frr
need mnexec mininet
need ethtool ethtool
need sysctl procps
need nft nftables
need_module grpc python3-grpcio
need_module google.protobuf python3-protobuf
need_module os_ken python3-os-ken
need_module exabgp python3-exabgp
need gobgpd gobgpd
need bird bird2
need tshark tshark
need ovs-vswitchd openvswitch-switch
need ovn-northd ovn-central
need ovn-controller ovn-host
need prometheus prometheus
need debootstrap debootstrap
need systemd-nspawn systemd-container
need lintian lintian
need buildah buildah
need podman podman
need runc runc
need chromium chromium
need gcc gcc
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
# Go fetches modules by HTTPS.
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "missing:$missing. Install with: apt-get install --no-install-recommends$missing" >&2
	exit 0 # what cannot do without says so itself
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
# No service of theirs is to start: the tests start what they need, in namespaces.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends $missing >/dev/null
}
