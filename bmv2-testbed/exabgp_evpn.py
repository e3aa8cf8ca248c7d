#!/usr/bin/python3
"""ExaBGP 4.2 with a command more: announce evpn, withdraw evpn.

ExaBGP encodes and decodes EVPN routes, but no command and no configuration of it
makes one. The commands here make the routes of one VTEP by its own classes:

    announce evpn mac RD RT NEXT-HOP VNI MAC IP
    announce evpn multicast RD RT NEXT-HOP VNI
    announce evpn prefix RD RT NEXT-HOP VNI PREFIX ROUTER-MAC

Usage: exabgp_evpn.py run CONFIGURATION
       exabgp_evpn.py process COMMANDS OUTPUT, as a process of the configuration:
       gives ExaBGP the lines of one file and writes what it says to another.
"""

import ipaddress
import sys
from struct import pack


def process(commands, output):
    with open(commands, encoding="utf-8") as lines:
        for line in lines:
            print(line.strip(), flush=True)
    with open(output, "w", encoding="utf-8") as out:
        for line in sys.stdin:
            out.write(line)
            out.flush()


def run(configuration):
    from exabgp.application import run_exabgp
    from exabgp.bgp.message import OUT
    from exabgp.bgp.message.update.attribute import Attributes, LocalPreference, NextHop, Origin
    from exabgp.bgp.message.update.attribute.community.extended import ExtendedCommunities
    from exabgp.bgp.message.update.attribute.community.extended.community import ExtendedCommunity
    from exabgp.bgp.message.update.attribute.community.extended.encapsulation import Encapsulation
    from exabgp.bgp.message.update.attribute.community.extended.rt import RouteTargetASN2Number
    from exabgp.bgp.message.update.attribute.pmsi import PMSIIngressReplication
    from exabgp.bgp.message.update.nlri.evpn.mac import MAC
    from exabgp.bgp.message.update.nlri.evpn.multicast import Multicast
    from exabgp.bgp.message.update.nlri.evpn.prefix import Prefix
    from exabgp.bgp.message.update.nlri.qualifier import (
        ESI, EthernetTag, Labels, MAC as MACAddress, RouteDistinguisher)
    from exabgp.protocol.ip import IP
    from exabgp.reactor.api.command.command import Command
    from exabgp.reactor.api.command.limit import match_neighbors
    from exabgp.rib.change import Change

    def route(kind, rd, rt, next_hop, vni, *more):
        address, number = rd.split(":")
        rd = RouteDistinguisher(pack("!H4sH", 1, IP.create(address).pack(), int(number)))
        label, hop = Labels([], raw_labels=[int(vni)]), IP.create(next_hop)
        communities = ExtendedCommunities()
        communities.add(RouteTargetASN2Number(*map(int, rt.split(":"))))
        communities.add(Encapsulation(Encapsulation.Type.VXLAN))
        attributes = Attributes()
        if kind == "mac":
            nlri = MAC(rd, ESI(), EthernetTag(), MACAddress(more[0]), 48, label, IP.create(more[1]), nexthop=hop)
        elif kind == "multicast":
            nlri = Multicast(rd, EthernetTag(), hop, nexthop=hop)
            attributes.add(PMSIIngressReplication(next_hop, raw_label=int(vni)))
        else:
            net = ipaddress.ip_network(more[0])
            address = IP.create(str(net.network_address))
            nlri = Prefix(rd, ESI(), EthernetTag(), label, address, net.prefixlen, IP.create("0.0.0.0"), nexthop=hop)
            communities.add(ExtendedCommunity(b"\x06\x03" + bytes.fromhex(more[1].replace(":", ""))))
        for attribute in (Origin(Origin.IGP), LocalPreference(100), NextHop(next_hop), communities):
            attributes.add(attribute)
        return nlri, attributes

    def register(verb, action):
        @Command.register("text", verb + " evpn")
        def command(_, reactor, service, line):
            nlri, attributes = route(*line.split()[2:])
            nlri.action = action
            reactor.configuration.inject_change(match_neighbors(reactor.peers(service), []), Change(nlri, attributes))
            reactor.processes.answer_done(service)
            return True

    register("announce", OUT.ANNOUNCE)
    register("withdraw", OUT.WITHDRAW)
    sys.argv = ["exabgp", configuration]
    run_exabgp()


if __name__ == "__main__":
    {"run": run, "process": process}[sys.argv[1]](*sys.argv[2:])
