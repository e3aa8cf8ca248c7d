"""The gateway: a p4evpn controller in a namespace of its own."""

from pathlib import Path
from typing import Any, NamedTuple, Optional

from node import Namespace
from p4switch import P4Switch
from run import Daemon, SetupError

FIRST_UPLINK = 10  # P4 ports below are bridge ports; the host port of uplink N is N + 1

# Above what a P4Runtime client takes by hand, so that 0,1 is a reader's.
ELECTION_ID = 1000


class Neighbor(NamedTuple):
    """A BGP neighbour of the gateway."""

    address: str
    autonomous_system: int
    underlay: bool = False  # exchange VTEP addresses too, by ipv4 unicast


class Gateway(Namespace):
    """The controller of one P4Switch.

    A link to an odd port of the switch from 11 on makes the host port of the
    uplink one below: the gateway's end has the underlay's address. The
    gateway reaches the underlay in no other way. VRF namespaces are in
    /run/netns of this node alone.
    """

    def __init__(self, name: str, folder: Path, vtep: str, autonomous_system: int,
                 neighbors: tuple[Neighbor, ...] = (), binary: str = "p4evpn", **params: Any) -> None:
        super().__init__(name, folder, **params)
        self.vtep = vtep
        self._binary = binary
        self._as, self._neighbors = autonomous_system, neighbors
        self._daemon: Optional[Daemon] = None

    @property
    def p4switch(self) -> P4Switch:
        """The switch that the gateway programs."""
        switch: P4Switch = self._far_ends()[0][1].node
        return switch

    def _far_ends(self) -> list[tuple[Any, Any]]:
        """Pairs our devices with the switch's ends of their cables."""
        pairs = [(i, i.link.intf2 if i.link.intf1 is i else i.link.intf1) for i in self.intfList() if i.link]
        if not pairs or not all(isinstance(far.node, P4Switch) for _, far in pairs):
            raise SetupError(f"{self.name} must be linked to a P4Switch, and to nothing else")
        return pairs

    def start(self, _controllers: Any) -> None:
        """Starts the controller and waits until its API answers."""
        self.cmd(f"ip link set lo up; ip address add {self.vtep}/32 dev lo")
        self.start_controller()

    def start_controller(self) -> None:
        """Starts `p4evpn run`; what the API was told before is kept."""
        config = self.folder / f"{self.name}.yaml"
        config.write_text(self._config())
        self._daemon = self.start_daemon("", [self._binary, "run", "-c", str(config)])
        self._daemon.await_ready("answers", lambda: self.show("bridges")[1])

    def kill_controller(self) -> None:
        """Ends the controller without a chance to say goodbye."""
        if self._daemon is not None:
            self._daemon.kill()

    def show(self, *args: str) -> tuple[str, Optional[str]]:
        """Runs `p4evpn show`; gives its output, and its complaint if it failed."""
        out, err, status = self.pexec([self._binary, "show", *args])
        return out, None if status == 0 else err.strip() or f"status {status}"

    def _config(self) -> str:
        """Writes the configuration as an operator would."""
        switch = self.p4switch
        lines = [
            f"as: {self._as}", f"router_id: {self.vtep}", f"vteps: [{self.vtep}]",
            f"store: {self.folder}/{self.name}.db",
            f'target: {{address: "{switch.grpc}", device_id: {switch.device_id}, '
            f"election_id: {ELECTION_ID}, embedded: false}}",
            "ports:",
        ]
        for number, intf in sorted(switch.intfs.items()):
            if 0 < number < FIRST_UPLINK:
                lines.append(f"  - {{name: {intf.name}, number: {number}, interface: {intf.name}}}")
        lines.append("uplinks:")
        for device, far in self._far_ends():
            number = switch.ports[far]
            uplink = switch.intfs[number - 1]
            lines.append(
                f"  - {{name: {uplink.name}, number: {number - 1}, interface: {uplink.name}, "
                f"host: {{number: {number}, interface: {far.name}, device: {device.name}}}}}")
        lines += ["bgp:", "  neighbors:"]
        for n in self._neighbors:
            families = ", families: [evpn, ipv4]" if n.underlay else ""
            lines.append(f"    - {{address: {n.address}, as: {n.autonomous_system}, connect_retry: 1s{families}}}")
        return "\n".join(lines) + "\n"
