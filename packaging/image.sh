#!/bin/sh
# Makes bin/p4evpn_VERSION_ARCH.oci.tar of the tree, an image with the binary alone, the
# same bytes each time. It needs Go and buildah. VERSION and SOURCE_DATE_EPOCH may be
# given (version.sh).
set -eu
umask 022
cd "$(dirname "$0")/.."

fields=$(packaging/version.sh)
version=${fields% *}
epoch=${fields#* }
arch=$(go env GOARCH)

work=$(mktemp -d)
container=
finish() {
	[ -z "$container" ] || buildah rm "$container" >/dev/null
	rm -rf "$work"
}
trap finish EXIT
# Of its own: nothing of this stays among the machine's images.
export STORAGE_DRIVER=vfs CONTAINERS_STORAGE_CONF="$work/storage.conf"
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/graph" "$work/run" >"$work/storage.conf"

VERSION=$version packaging/build.sh "$work/p4evpn"
container=$(buildah from scratch)
buildah copy --quiet "$container" "$work/p4evpn" /usr/bin/p4evpn >/dev/null
buildah config --entrypoint '["/usr/bin/p4evpn"]' --cmd '["run","-c","/etc/p4evpn/p4evpn.yaml"]' \
	--env PATH=/usr/bin --volume /var/lib/p4evpn --stop-signal SIGTERM \
	--label org.opencontainers.image.title=p4evpn --label "org.opencontainers.image.version=$version" \
	--label org.opencontainers.image.licenses=Apache-2.0 "$container"
image=$(buildah commit --quiet --timestamp "$epoch" "$container")
mkdir -p bin
name=bin/p4evpn_${version}_$arch.oci.tar
rm -f "$name"
buildah push --quiet "$image" "oci:$work/layout:p4evpn:$version"
tar --create --file "$name" --directory "$work/layout" --sort=name --mtime="@$epoch" \
	--owner=root --group=root --numeric-owner --mode=u=rwX,go=rX .
echo "$name"
