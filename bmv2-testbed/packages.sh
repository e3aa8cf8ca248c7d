#!/bin/sh
# Installs the Debian packages that tests and the demo need, or says which are
# missing when not root. Quiet and quick when all are there.
set -eu
missing=
need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 || [ -x "$1" ] || missing="$missing $2"
}
need gcc gcc
need ip iproute2
need ping iputils-ping
need ethtool ethtool
need /usr/lib/frr/bgpd frr
[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages:$missing; install them with: sudo apt-get install --no-install-recommends$missing" >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # a list of packages
apt-get install -y -q --no-install-recommends $missing
