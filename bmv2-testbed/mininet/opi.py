"""Requests to the OPI EVPN GW API, in their JSON form."""

import base64
from ipaddress import IPv4Interface
from typing import Any

OPI = "opi_api.network.evpn_gw.v1alpha1."
Call = tuple[str, str, dict[str, Any]]


def create(kind: str, name: str, spec: dict[str, Any]) -> Call:
    """Makes the call that creates an object of the OPI API, such as "LogicalBridge"."""
    snake = "".join("_" + c.lower() if c.isupper() else c for c in kind).lstrip("_")
    return f"{OPI}{kind}Service", f"Create{kind}", {f"{snake}_id": name, snake: {"spec": spec}}


def prefix(address: str) -> dict[str, Any]:
    """Gives an address with its length as the OPI API has it."""
    a = IPv4Interface(address)
    return {"addr": {"af": "IP_AF_INET", "v4_addr": int(a.ip)}, "len": a.network.prefixlen}


def mac(*last: int) -> str:
    """Gives a MAC address as JSON has bytes."""
    return base64.b64encode(bytes([2, *[0] * (5 - len(last)), *last])).decode()


def bridge(name: str, vlan: int, vni: int) -> Call:
    """Creates a logical bridge; VNI 0 is none."""
    return create("LogicalBridge", name, {"vlan_id": vlan, **({"vni": vni} if vni else {})})


def port(name: str, number: int, *bridges: str) -> Call:
    """Creates a bridge port: an access port of one bridge, or a trunk of several."""
    kind = "ACCESS" if len(bridges) == 1 else "TRUNK"
    return create("BridgePort", name, {"mac_address": mac(1, number), "ptype": f"BRIDGE_PORT_TYPE_{kind}",
                                       "logical_bridges": [f"logicalBridges/{b}" for b in bridges]})
