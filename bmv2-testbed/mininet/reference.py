"""The reference topology of EVPN gateways, with its AS numbers, VTEPs, VRFs and VNIs.

    h10, h20, h40 ─ trunk2 ─┐               ┌─ leaf2 (AS 65002, 10.0.0.4): l10, l30, l40
                            ├─ s2 ─ spine1 ─┤
                       h50 ─┘  │            └─ border3 (AS 65003, 10.0.0.3): 6.6.6.6, 7.7.7.7
                              gw2 (AS 65000, 10.0.0.2)

VLAN 10 is bridged; 20 and 30 are in VRF blue (asymmetric IRB), 40 in green (L3
VNI 100), 50 in yellow (L3 VNI 101). The gateways of a subnet share the address
and not the MAC. The nodes learn each other's VTEP from the spine.
"""

from typing import Any

from mininet.topo import Topo

from checks import Check, fails, pings
from gateway import Gateway, Neighbor
from leaf import VRF, Bridge, Leaf, Peer
from node import UNDERLAY_MTU
from opi import bridge, create, mac, port, prefix
from p4switch import P4Switch
from trunk import Trunk


def gateway_of(vlan: int) -> str:
    """Gives the gateway's address in a bridge, on every node that has one."""
    return f"{vlan}.{vlan}.{vlan}.1/24"


HOSTS = {f"h{vlan}": f"{vlan}.{vlan}.{vlan}.{vlan}/24" for vlan in (10, 20, 40, 50)} | {
    f"l{vlan}": f"{vlan}.{vlan}.{vlan}.{vlan + 1}/24" for vlan in (10, 30, 40)}
TENANTS = [["h10", "l10"], ["h20", "l30"], ["h40", "l40"]]
OBJECTS = {"gw2": [
    *(bridge(f"vlan{vlan}", vlan, vlan if vlan != 50 else 0) for vlan in (10, 20, 30, 40, 50)),
    *(create("Vrf", name, {"loopback_ip_prefix": prefix(f"10.100.0.{n}/32"), **({"vni": vni} if vni else {})})
      for n, (name, vni) in enumerate({"blue": 0, "green": 100, "yellow": 101}.items(), 1)),
    *(create("Svi", f"vlan{vlan}", {"vrf": f"vrfs/{vrf}", "logical_bridge": f"logicalBridges/vlan{vlan}",
                                    "mac_address": mac(0xAA, vlan), "gw_ip_prefix": [prefix(gateway_of(vlan))]})
      for vlan, vrf in {20: "blue", 30: "blue", 40: "green", 50: "yellow"}.items()),
    port("s2-eth1", 1, "vlan10", "vlan20", "vlan40"),
    port("s2-eth2", 2, "vlan50"),
]}


def add(topo: Topo, switch: dict[str, Any], gateway: dict[str, Any], common: dict[str, Any]) -> None:
    """Adds the nodes and their cables; the dicts are parameters of P4 switches, gateways and all nodes."""
    topo.addSwitch("s2", cls=P4Switch, **switch, **common)
    topo.addSwitch("gw2", cls=Gateway, vtep="10.0.0.2", autonomous_system=65000,
                   neighbors=(Neighbor("10.1.1.2", 65001, underlay=True),), **gateway, **common)
    topo.addSwitch("trunk2", cls=Trunk, **common)
    spine_peers = tuple(Peer(f"10.1.{n}.1", number, underlay=True, passive=True)
                        for n, number in ((1, 65000), (2, 65002), (3, 65003)))
    topo.addSwitch("spine1", cls=Leaf, vtep="10.0.0.1", autonomous_system=65001, peers=spine_peers, **common)
    topo.addSwitch("leaf2", cls=Leaf, vtep="10.0.0.4", autonomous_system=65002,
                   peers=(Peer("10.1.2.2", 65001, underlay=True),), vrfs=(VRF("blue"), VRF("green", 100)),
                   bridges=(Bridge(10, port=10), Bridge(20, "blue", gateway_of(20)),
                            Bridge(30, "blue", gateway_of(30), 30), Bridge(40, "green", gateway_of(40), 40)), **common)
    topo.addSwitch("border3", cls=Leaf, vtep="10.0.0.3", autonomous_system=65003,
                   peers=(Peer("10.1.3.2", 65001, underlay=True),),
                   vrfs=(VRF("green", 100, "6.6.6.6/32"), VRF("yellow", 101, "7.7.7.7/32")), **common)
    add_hosts(topo)
    topo.addLink("gw2", "s2", port1=1, port2=11, params1={"ip": "10.1.1.1/24"}, mtu=UNDERLAY_MTU)
    topo.addLink("spine1", "s2", port1=1, port2=10, params1={"ip": "10.1.1.2/24"}, mtu=UNDERLAY_MTU)
    for n, leaf in ((2, "leaf2"), (3, "border3")):
        topo.addLink(leaf, "spine1", port1=1, port2=n, mtu=UNDERLAY_MTU,
                     params1={"ip": f"10.1.{n}.1/24"}, params2={"ip": f"10.1.{n}.2/24"})


def add_hosts(topo: Topo) -> None:
    """Adds the hosts, those of the gateway's trunk by their VLANs."""
    for name, address in HOSTS.items():
        vlan = int(name[1:])
        route = {} if vlan == 10 else {"defaultRoute": "via " + gateway_of(vlan).removesuffix("/24")}
        topo.addHost(name, ip=address, **route)
    topo.addLink("trunk2", "s2", port1=1, port2=1)
    topo.addLink("h50", "s2", port2=2)
    for vlan in (10, 20, 40):
        topo.addLink(f"h{vlan}", "trunk2", port2=vlan)
    for vlan in (10, 30, 40):
        topo.addLink(f"l{vlan}", "leaf2", port2=vlan)


CHECKS = [
    Check("VLAN 10 is bridged over VXLAN", pings("h10", HOSTS["l10"])),
    Check("VLAN 20 reaches VLAN 30 by asymmetric IRB", pings("h20", HOSTS["l30"])),
    Check("VLAN 40 is bridged over VXLAN beside its L3 VNI", pings("h40", HOSTS["l40"])),
    Check("VRF green reaches 6.6.6.6 by a type-5 route", pings("h40", "6.6.6.6")),
    Check("VRF yellow reaches 7.7.7.7 by a type-5 route", pings("h50", "7.7.7.7")),
    Check("the gateway answers in its VRFs", pings("h50", gateway_of(50))),
    Check("VRF yellow does not reach VRF green", fails("h50", "6.6.6.6")),
    Check("VRF green does not reach VRF blue", fails("h40", HOSTS["h20"])),
]
