"""What can be asked of running networks: each check gives its complaint, or ""."""

import json
import time
from typing import Callable, NamedTuple

from mininet.net import Mininet

from run import PATIENCE, SetupError, eventually

Probe = Callable[[Mininet], str]


class Check(NamedTuple):
    """A claim, and what proves it."""

    claim: str
    probe: Probe


def pings(host: str, to: str, options: str = "") -> Probe:
    """A host reaches an address (its length is passed over), if not at once then soon."""
    address = to.partition("/")[0]

    def probe(net: Mininet) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            # It ends with the first answer, and with the first error that comes back.
            if net[host].pexec(f"ping -n -q -i 0.05 -c 1 -w 5 {options} {address}")[2] == 0:
                return ""
            time.sleep(0.05)
        return f"{host} does not reach {address} within {PATIENCE:.0f} s"
    return probe


def fails(host: str, to: str) -> Probe:
    """A host does not reach an address."""
    address = to.partition("/")[0]

    def probe(net: Mininet) -> str:
        reached = net[host].pexec(f"ping -n -q -i 0.1 -c 3 -W 0.3 {address}")[2] == 0
        return f"{host} reaches {address}" if reached else ""
    return probe


def tcp(client: str, server: str) -> Probe:
    """A host sends a megabyte to another one."""
    def probe(net: Mininet) -> str:
        listener = net[server].popen("iperf -s -P 1")
        try:
            eventually(f"{server} listens", lambda: None if ":5001" in net[server].pexec("ss -ltn")[0] else "not yet")
            out, err, status = net[client].pexec(f"timeout 60 iperf -c {net[server].IP()} -n 1M")
            return "" if status == 0 and "Bytes" in out else f"{out}{err}"
        finally:
            listener.kill()
            listener.communicate()
    return probe


def fdb(gateway: str, bridge: str, host: str, where: str) -> Probe:
    """A gateway has a host's MAC address at a port or behind a VTEP."""
    def probe(net: Mininet) -> str:
        def complaint() -> str | None:
            out, failed = net[gateway].show("fdb", bridge, "-o", "json")
            mac = net[host].MAC()
            line = next((json.dumps(e) for e in json.loads(out or "[]") if e.get("mac") == mac), "")
            return failed or (None if f'"{where}"' in line else f"it has {line or 'nothing'} for {mac}")
        try:
            eventually(f"{gateway} has {host} at {where}", complaint)
        except SetupError as e:
            return str(e)
        return ""
    return probe
