# The targets that CONTRIBUTING.md explains. Everything is built by Go alone;
# p4c is needed only to change the P4 program.

GO      ?= go
BIN     := bin/p4evpn
DEMO_BIN := bin/p4evpn-demo
# What `make bench` runs: a regular expression over the names of its figures.
BENCH   ?= .

.PHONY: build build-demo p4 proto test bare-test soak demo demo-repeat two-dc ovn \
	deb image package-test vuln mininet mininet-test bench bgp-fuzz upgrade-test conformance differential lint packages clean

build:
	$(GO) build -trimpath -o $(BIN) ./cmd/p4evpn

# What shows p4evpn finds it beside itself.
build-demo: build
	$(GO) build -trimpath -o $(DEMO_BIN) ./cmd/p4evpn-demo

# Recompiles the P4 program. The digest lets a machine without p4c see that the
# artefacts are of these sources.
p4:
	cd p4 && p4c-bm2-ss --arch v1model --p4runtime-files p4evpn.p4info.txtpb -o p4evpn.json p4evpn.p4
	cd p4 && sha256sum *.p4 > sources.sha256

proto:
	$(GO) generate ./api/...

# The race detector needs a C compiler, the end-to-end tests FRR and iproute2.
packages:
	@bmv2-testbed/packages.sh

test: packages
	$(GO) vet ./...
	$(GO) test -race -timeout 40m ./...
	$(GO) test -run TestTwoSpeakersThatDial ./bgp/gobgp # GoBGP has a race of its own there
	$(GO) test -run 'TestNoFormOfAClaim|LinuxHost' ./p4 # a million frames, which take the race detector minutes

# .ci/run on a Debian 12 that has nothing but Go, made by debootstrap for it; BARE
# names a folder to keep it in, for a second run.
bare-test:
	bmv2-testbed/bare.sh $(BARE)

# Half an hour of everything at random, half a minute of no target, and a million
# addresses that a tenant claims: the long forms of what `make test` does in seconds. On each target that is there.
SOAK    ?= 30m
soak: packages
	P4EVPN_SOAK=$(SOAK) $(GO) test -v -count 1 -timeout 4h -run 'TestChurn|TestTarget|TestClaims' ./bmv2-testbed

# UPDATEs of real speakers, nearly, to a live front: the long form of what `make test` does
# for 15 s. N=1000000 for less.
bgp-fuzz: N = 10000000
bgp-fuzz: packages
	P4EVPN_BGP_FUZZ=$(N) $(GO) test -v -count 1 -timeout 0 -run TestMutatedUpdates ./bmv2-testbed

# DEMO holds flags: DEMO='--keep' leaves the network in place.
demo: packages build-demo
	$(DEMO_BIN) $(DEMO)

# Every other one with two busy loops on each core.
N       ?= 100
demo-repeat: packages build-demo
	bmv2-testbed/demo-repeat.sh $(DEMO_BIN) $(N)

two-dc: packages build-demo
	$(DEMO_BIN) two-dc $(DEMO)

ovn: packages build-demo
	$(DEMO_BIN) ovn $(DEMO)

# P4EVPN_TARGET=bmv2 runs either on BMv2. Debian's Python has Debian's Mininet.
MININET := /usr/bin/python3 -B bmv2-testbed/mininet --binary $(BIN)

mininet: packages build
	$(MININET)

mininet-test: packages build
	$(MININET) --test

bench: packages build
	$(GO) run ./cmd/bench -run '$(BENCH)'

# From the binary of commit FROM of this repository to the tree's, one process after
# the other, with traffic; on BMv2 too where it is on PATH.
upgrade-test: packages
	@test -n '$(FROM)' || { echo 'name a commit: make upgrade-test FROM=REV'; exit 1; }
	P4EVPN_UPGRADE_FROM='$(FROM)' $(GO) test -v -count 1 -timeout 30m -run TestAnUpgrade ./bmv2-testbed

# p4c's own packet tests on the embedded switch and BMv2: P4C is a p4c source
# tree, whose programs p4c-bm2-ss on PATH compiles.
conformance:
	@test -n '$(P4C)' || { echo 'name a p4c source tree: make conformance P4C=DIR'; exit 1; }
	$(GO) run ./softswitch/conformance $(CONFORMANCE) '$(P4C)'

# Random frames through the embedded switch and BMv2, which must be on PATH:
# PACKETS for each program, beginning with the random entries of SEED.
PACKETS ?= 100000
SEED    ?= 1
differential:
	PACKETS=$(PACKETS) SEED=$(SEED) $(GO) test -v -timeout 0 -run TestRandomFrames ./softswitch/differential

# staticcheck.conf and .golangci.yml name the same checks of staticcheck.
lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these files'; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...
	packaging/sbom.sh

# Known vulnerabilities, where the database of them is reached.
vuln:
	packaging/vuln.sh

# A Debian package and an image of the tree, in bin. VERSION is the commit's, or given.
deb:
	packaging/deb.sh

image:
	packaging/image.sh

# Installed and upgraded in a Debian that is booted for it, and run by podman; part of
# `make test`.
package-test: packages
	$(GO) test -v -count 1 -timeout 20m ./packaging

clean:
	rm -rf bin
