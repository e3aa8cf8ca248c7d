#!/bin/sh
# Prints the version that packages of this tree have, and the time of its sources in
# seconds since 1970 (SOURCE_DATE_EPOCH). VERSION and SOURCE_DATE_EPOCH, where they
# are given, are taken as they are; else both are of the commit.
set -eu
cd "$(dirname "$0")/.."

epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
version=${VERSION:-}
if [ -z "$version" ]; then
	# v1.2.0 is 1.2.0, and 5 commits later 1.2.0+5.gcafe; before the first tag it is 0~ and
	# the date, which is less than all.
	version=$(git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-/+/; s/-/./') ||
		true
	[ -n "$version" ] || version="0~$(date -u -d "@$epoch" +%Y%m%d.%H%M%S).$(git rev-parse --short=10 HEAD)"
fi
echo "$version $epoch"
