#!/bin/sh
# Makes bin/p4evpn_VERSION_ARCH.deb of the tree, the same bytes each time. It needs Go
# and dpkg-deb. VERSION and SOURCE_DATE_EPOCH may be given (version.sh).
set -eu
umask 022
cd "$(dirname "$0")/.."

fields=$(packaging/version.sh)
version=${fields% *}
export SOURCE_DATE_EPOCH="${fields#* }" LC_ALL=C TZ=UTC
maintainer='the p4evpn authors <p4evpn@users.noreply.github.com>'
arch=$(go env GOARCH)
[ "$arch" != arm ] || arch=armhf

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
put() { # put MODE FILE PATH
	install -D -m "$1" "$2" "$root$3"
}

VERSION=$version packaging/build.sh "$root/usr/bin/p4evpn"
run=$root/usr/bin/p4evpn

put 644 packaging/p4evpn.yaml /etc/p4evpn/p4evpn.yaml
put 644 packaging/systemd/p4evpn.service /lib/systemd/system/p4evpn.service
put 644 packaging/systemd/p4evpn-switch.service /lib/systemd/system/p4evpn-switch.service
put 644 packaging/systemd/p4evpn-liveness.service /lib/systemd/system/p4evpn-liveness.service
put 644 packaging/systemd/sysusers.conf /usr/lib/sysusers.d/p4evpn.conf
put 644 packaging/systemd/tmpfiles.conf /usr/lib/tmpfiles.d/p4evpn.conf
put 644 packaging/systemd/sysctl.conf /usr/lib/sysctl.d/p4evpn.conf
put 644 packaging/debian/lintian-overrides /usr/share/lintian/overrides/p4evpn

doc=/usr/share/doc/p4evpn
put 644 packaging/debian/copyright $doc/copyright
put 644 p4evpn.example.yaml $doc/examples/p4evpn.example.yaml
put 644 CHANGELOG.md $doc/NEWS.md
for file in README.md rules/p4evpn.yml rules/p4evpn_test.yml dashboards/p4evpn.json; do
	put 644 "monitoring/$file" "$doc/examples/monitoring/$file"
done
cat >"$root$doc/changelog" <<EOF
p4evpn ($version) unstable; urgency=medium

  * What users notice is in NEWS.md.gz.

 -- $maintainer  $(date -Rd "@$SOURCE_DATE_EPOCH")
EOF
for page in docs/*.md; do
	put 644 "$page" "$doc/$(basename "$page")"
done
install -d "$root/usr/share/man/man1"
"$run" man "$root/usr/share/man/man1"
gzip -9n "$root$doc/changelog" "$root$doc/NEWS.md" "$root"/usr/share/man/man1/*.1

for shell in bash:bash-completion/completions/p4evpn zsh:zsh/vendor-completions/_p4evpn \
	fish:fish/vendor_completions.d/p4evpn.fish; do
	install -d "$root/usr/share/$(dirname "${shell#*:}")"
	"$run" completion "${shell%%:*}" >"$root/usr/share/${shell#*:}"
done

install -d "$root/DEBIAN"
for script in postinst prerm postrm; do
	put 755 packaging/debian/$script /DEBIAN/$script
done
echo /etc/p4evpn/p4evpn.yaml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<EOF
Package: p4evpn
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -ks --apparent-size --exclude=DEBIAN "$root" | cut -f1)
Depends: systemd, init-system-helpers (>= 1.54~)
Recommends: iproute2
Section: net
Priority: optional
Homepage: https://github.com/p4evpn/p4evpn
Description: EVPN gateway for P4 targets
 A controller turns EVPN routes (RFC 7432, 8365, 9135, 9136) and the objects
 of the OPI EVPN GW API into entries of a P4 program for VXLAN, bridging and
 routing, over P4Runtime. The embedded switch, BMv2 or a P4 DPU runs the
 program.
EOF
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

mkdir -p bin
dpkg-deb --root-owner-group -Zxz --build "$root" "bin/p4evpn_${version}_$arch.deb"
