#!/usr/bin/env bash
# Runs .ci/run as a bare Debian 12 would: a fresh debootstrap with nothing added but
# Go and a checkout of HEAD. It needs root and debootstrap, and the network.
#
#     bare.sh            in a folder of its own under /var/tmp, removed afterwards
#     bare.sh FOLDER     in FOLDER, which stays; a second run finds it as the first left it
#
# The mirror is the machine's own, of apt's sources; DEBIAN_MIRROR names another.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1-}" = --inside ]; then # FOLDER, in a mount and PID namespace of its own
	root=$2
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup" # for the tests of the image and the package
	mount --make-rslave "$root/sys/fs/cgroup"
	mount --rbind /dev "$root/dev"
	mount --make-rslave "$root/dev"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	mount -t bpf bpf "$root/sys/fs/bpf" 2>/dev/null || true # systemd does it where the kernel has it
	# Who enters another mount namespace, as Mininet's hosts do, gets its root: chroot
	# would let him out. And, as with systemd, what is mounted is seen by all.
	cd "$root"
	pivot_root . mnt
	umount -l /mnt
	mount --make-rshared /
	exec chroot . /usr/bin/env -i \
		HOME=/root LANG=C.UTF-8 PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		"${@:3}" /srv/p4evpn/.ci/run
fi

[ "$(id -u)" = 0 ] || { echo 'bare.sh: needs root' >&2; exit 1; }
command -v debootstrap >/dev/null || { echo 'bare.sh: needs debootstrap: apt-get install debootstrap' >&2; exit 1; }
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
	awk '$1 == "bookworm" { print $2; exit }')}
[ -n "$mirror" ] || { echo 'bare.sh: apt knows no Debian 12 here: name a mirror by DEBIAN_MIRROR' >&2; exit 1; }

root=${1-}
if [ -z "$root" ]; then
	root=$(mktemp -d /var/tmp/p4evpn-bare-XXXXXX)
	# Whatever was mounted in it went with its mount namespace.
	trap 'rm -rf --one-file-system "$root"' EXIT
fi
mkdir -p "$root"
root=$(realpath "$root")
if [ ! -x "$root/usr/bin/apt-get" ]; then
	debootstrap --variant=minbase bookworm "$root" "$mirror"
	mkdir -p "$root/usr/local/go"
	cp -a "$(go env GOROOT)/." "$root/usr/local/go"
fi
rm -rf "$root/srv/p4evpn" # where users other than root see it too
mkdir "$root/srv/p4evpn"
git archive HEAD | tar -x -C "$root/srv/p4evpn"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

# How this machine reaches the world is no part of what is tested.
settings=("GOPROXY=$(go env GOPROXY)" "GOSUMDB=$(go env GOSUMDB)")
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
	[ -z "${!name-}" ] || settings+=("$name=${!name}")
done
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl-of-the-machine.crt"
	settings+=(SSL_CERT_FILE=/etc/ssl-of-the-machine.crt)
fi

SECONDS=0
status=0
unshare --mount --propagation private --pid --fork --kill-child \
	bmv2-testbed/bare.sh --inside "$root" "${settings[@]}" || status=$?
echo "bare.sh: .ci/run ended with $status after $((SECONDS / 60)) min $((SECONDS % 60)) s"
exit $status
