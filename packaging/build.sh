#!/bin/sh
# Builds the static binary that packages and images hold: build.sh FILE, with VERSION. It
# says of which commit it is, where that is known.
set -eu
commit=$(git rev-parse HEAD 2>/dev/null || true)
CGO_ENABLED=0 exec go build -trimpath -buildvcs=false \
	-ldflags "-s -w -buildid= -X main.release=$VERSION -X main.commit=$commit" \
	-o "$1" ./cmd/p4evpn
