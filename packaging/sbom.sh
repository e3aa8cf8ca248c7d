#!/bin/sh
# Makes bin/p4evpn.cdx.json, the software bill of materials of the binary (CycloneDX), and
# checks the licences in it. The version in it is git's.
set -eu
cd "$(dirname "$0")/.."
[ -e .git ] || { echo 'SKIP: the bill of materials names a commit, and this is no checkout' && exit 0; }
mkdir -p bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT
CGO_ENABLED=0 go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 \
	app -json -licenses -noserial -notimestamp -main cmd/p4evpn -output bin/p4evpn.cdx.json . 2>"$log" || {
	cat "$log" >&2
	exit 1
}
go run ./packaging/sbom <bin/p4evpn.cdx.json
