"""A gateway with two hosts, and a third one behind a leaf.

    h1, h2 ─ s1 ─ leaf1 (FRR) ─ h3        AS 65000 ─ AS 65101
             │
            gw1
"""

from typing import Any

from mininet.net import Mininet
from mininet.topo import Topo

from checks import Check, fdb, pings, tcp
from gateway import Gateway, Neighbor
from leaf import Bridge, Leaf, Peer
from node import UNDERLAY_MTU
from opi import bridge, port
from p4switch import P4Switch

HOSTS = {"h1": "192.168.10.1/24", "h2": "192.168.10.2/24", "h3": "192.168.10.3/24"}
TENANTS = [["h1", "h2", "h3"]]
OBJECTS = {"gw1": [bridge("blue", 10, 1010), port("s1-eth1", 1, "blue"), port("s1-eth2", 2, "blue")]}


def add(topo: Topo, switch: dict[str, Any], gateway: dict[str, Any], common: dict[str, Any]) -> None:
    """Adds the nodes and their cables; the dicts are parameters of P4 switches, gateways and all nodes."""
    topo.addSwitch("s1", cls=P4Switch, **switch, **common)
    topo.addSwitch("gw1", cls=Gateway, vtep="10.0.0.1", autonomous_system=65000,
                   neighbors=(Neighbor("10.1.1.2", 65101, underlay=True),), **gateway, **common)
    topo.addSwitch("leaf1", cls=Leaf, vtep="10.0.0.11", autonomous_system=65101,
                   peers=(Peer("10.1.1.1", 65000, underlay=True, passive=True),), bridges=(Bridge(1010, port=2),),
                   **common)
    for name, address in HOSTS.items():
        topo.addHost(name, ip=address)
    topo.addLink("h1", "s1", port2=1)
    topo.addLink("h2", "s1", port2=2)
    topo.addLink("h3", "leaf1", port2=2)
    topo.addLink("leaf1", "s1", port1=1, port2=10, params1={"ip": "10.1.1.2/24"}, mtu=UNDERLAY_MTU)
    topo.addLink("gw1", "s1", port1=1, port2=11, params1={"ip": "10.1.1.1/24"}, mtu=UNDERLAY_MTU)


def leaf_knows_h1(net: Mininet) -> str:
    """Asks FRR where h1 is."""
    macs = net["leaf1"].vtysh("show evpn mac vni 1010")
    line = next((line for line in macs.splitlines() if net["h1"].MAC() in line), "")
    return "" if "remote" in line and "10.0.0.1" in line else f"leaf1 has {line!r} for h1 in {macs}"


def hosts_outlive_controller(net: Mininet) -> str:
    """Kills the controller: forwarding is the switch's."""
    gateway = net["gw1"]
    gateway.kill_controller()
    complaint = pings("h1", HOSTS["h2"])(net)
    gateway.start_controller()
    return complaint or pings("h1", HOSTS["h3"])(net)


CHECKS = [
    Check("h1 and h2 reach each other through s1", pings("h1", HOSTS["h2"])),
    Check("h1 reaches h3 by VXLAN", pings("h1", HOSTS["h3"])),
    Check("a full frame crosses the VXLAN tunnel", pings("h1", HOSTS["h3"], "-s 1472 -M do")),
    Check("TCP from h1 to h3, with whole checksums", tcp("h1", "h3")),
    Check("gw1 has learned h1 at its port", fdb("gw1", "blue", "h1", "s1-eth1")),
    Check("gw1 knows h3 behind leaf1 by a type-2 route", fdb("gw1", "blue", "h3", "10.0.0.11")),
    Check("leaf1 knows h1 behind gw1 by a type-2 route", leaf_knows_h1),
    Check("the hosts go on without a controller, and all is well when it is back", hosts_outlive_controller),
]
