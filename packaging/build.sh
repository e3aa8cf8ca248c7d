#!/bin/sh
# Builds the static binary that packages and images hold: build.sh FILE, with VERSION.
set -eu
CGO_ENABLED=0 exec go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.release=$VERSION" \
	-o "$1" ./cmd/p4evpn
