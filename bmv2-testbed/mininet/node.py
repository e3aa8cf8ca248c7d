"""What the nodes of our networks have in common."""

from pathlib import Path
from typing import Any, Sequence

from mininet.link import Link
from mininet.node import Node, Switch

from run import Daemon, SetupError


UNDERLAY_MTU = 1600  # a full frame of a host and 50 bytes of VXLAN more


class Device(Switch):
    """A node that is no host, with daemons that log to the run's folder."""

    controlIntf = None  # Mininet reads it of switches in namespaces too

    def __init__(self, name: str, folder: Path, **params: Any) -> None:
        super().__init__(name, **params)
        self.folder = folder
        self.daemons: list[Daemon] = []

    def start_daemon(self, name: str, args: Sequence[str]) -> Daemon:
        """Starts a program, which ends with the node."""
        log = self.folder / (f"{self.name}.log" if name == "" else f"{self.name}-{name}.log")
        daemon = Daemon(self, log, args)
        self.daemons.append(daemon)
        return daemon

    def run(self, command: str) -> None:
        """Runs shell commands that say nothing when they succeed."""
        if said := self.cmd(f"( set -e; {command}; ) 2>&1").strip():
            raise SetupError(f"{self.name}: {command}: {said}")

    def stop_daemons(self) -> None:
        """Ends the programs, the last one first."""
        while self.daemons:
            self.daemons.pop().stop()

    def stop(self, deleteIntfs: bool = True) -> None:
        """Ends the node's programs and takes its devices away."""
        self.stop_daemons()
        super().stop(deleteIntfs)


class Namespace(Device):
    """A Device with a network namespace and a /run/netns and /run/p4evpn of its own."""

    def __init__(self, name: str, folder: Path, **params: Any) -> None:
        super().__init__(name, folder, **{**params, "inNamespace": True, "privateDirs": ["/run/netns", "/run/p4evpn"]})


class Cable(Link):
    """A veth pair without offloads.

    They would make frames that no cable carries: with partial checksums, or of
    64 KB.
    """

    def __init__(self, node1: Node, node2: Node, mtu: int = 1500, **params: Any) -> None:
        try:
            super().__init__(node1, node2, **params)
        except Exception as e:  # Mininet has no other
            raise SetupError(f"cable {node1.name} to {node2.name}: {str(e).strip()}: if the device is there, end the "
                             "Mininet that made it, or remove it by `ip link delete`") from e
        for intf in (self.intf1, self.intf2):
            # What a device lacks is passed over.
            off = " ".join(f"{offload} off" for offload in ("rx", "tx", "sg", "tso", "gso", "gro"))
            intf.cmd(f"ip link set {intf.name} mtu {mtu}; ethtool -K {intf.name} {off}")


def silence(node: Node, device: str) -> None:
    """Keeps the kernel from using a device of a switch itself.

    It would answer ARP for any of its addresses there, past the pipeline, and
    send IPv6 chatter.
    """
    node.cmd(f"ip link set {device} arp off; sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
