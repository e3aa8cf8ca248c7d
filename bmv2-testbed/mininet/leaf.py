"""Leaves and spines: FRR, and kernel VXLAN for each VNI, as operators build them."""

import pwd
import shutil
from pathlib import Path
from typing import Any, NamedTuple, Optional

from node import Namespace
from run import SetupError

FRR_DAEMONS = Path("/usr/lib/frr")
CRASH_LOGS = Path("/var/tmp/frr")
ROUTER_MAC = "02:bb:00:00:{:02x}:{:02x}"


class Peer(NamedTuple):
    """A BGP neighbour of a leaf."""

    address: str
    autonomous_system: int
    underlay: bool = False  # exchange VTEP addresses too, by ipv4 unicast
    passive: bool = False  # it connects to us: two connections that cross cost seconds


class VRF(NamedTuple):
    """A tenant's VRF: a network namespace of the leaf, since not every kernel has VRF devices."""

    name: str
    vni: int = 0  # of type-5 routes and symmetric IRB; 0: the leaf routes between its own bridges only
    loopback: str = ""  # a prefix that is advertised


class Bridge(NamedTuple):
    """A bridge with a VXLAN device."""

    vni: int
    vrf: str = ""  # "": bridged only
    gateway: str = ""  # the leaf's address in it
    port: int = 0  # where a host is linked: addLink(..., port1=N)


class Leaf(Namespace):
    """An FRR node with its VRFs and bridges; a spine has neither."""

    def __init__(self, name: str, folder: Path, vtep: str, autonomous_system: int, peers: tuple[Peer, ...] = (),
                 vrfs: tuple[VRF, ...] = (), bridges: tuple[Bridge, ...] = (), **params: Any) -> None:
        super().__init__(name, folder, **params)
        self._frr = folder / name  # of its sockets and configurations
        self._vtep, self._as = vtep, autonomous_system
        self._peers, self._vrfs, self._bridges = peers, vrfs, bridges

    def start(self, _controllers: Any) -> None:
        """Makes VRFs and bridges, then starts zebra and bgpd: zebra misses some of what comes later."""
        self.run(f"ip link set lo up; ip address add {self._vtep}/32 dev lo; sysctl -qw net.ipv4.ip_forward=1")
        for number, vrf in enumerate(self._vrfs, 1):
            self._add_vrf(number, vrf)
        for bridge in self._bridges:
            self._add_bridge(bridge)
        self._start_frr()

    def stop_daemons(self) -> None:
        """Ends FRR, and removes the folders that its daemons make for their crash logs."""
        pids = [daemon.pid for daemon in self.daemons]
        super().stop_daemons()
        for pid in pids:
            for folder in CRASH_LOGS.glob(f"*.{pid}"):
                shutil.rmtree(folder, ignore_errors=True)

    def vtysh(self, command: str) -> str:
        """Runs a command of FRR's shell."""
        said: str = self.cmd(f"vtysh --vty_socket {self._frr} --config_dir {self._frr} -c '{command}'")
        return said

    def _add_vrf(self, number: int, vrf: VRF) -> None:
        inside = f"ip -n {vrf.name}"
        self.run(f"ip netns add {vrf.name}; {inside} link set lo up")
        self.run(f"ip netns exec {vrf.name} sysctl -qw net.ipv4.ip_forward=1")
        if vrf.loopback:
            self.run(f"{inside} address add {vrf.loopback} dev lo")
        if vrf.vni:
            self._add_bridge(Bridge(vrf.vni, vrf.name))
            # The MAC address of an L3 VNI's bridge is the router MAC.
            self.run(f"{inside} link set br{vrf.vni} address {ROUTER_MAC.format(int(self.dpid, 16), number)}")

    def _add_bridge(self, bridge: Bridge) -> None:
        """Makes the VXLAN device where the underlay is, whose addresses it goes on to use."""
        br, vx, inside = f"br{bridge.vni}", f"vx{bridge.vni}", "ip"
        self.run(f"ip link add {vx} mtu 1500 type vxlan id {bridge.vni} local {self._vtep} dstport 4789 nolearning")
        members = [vx] + ([self.intfs[bridge.port].name] if bridge.port else [])
        if bridge.vrf:
            inside = f"ip -n {bridge.vrf}"
            self.run("; ".join(f"ip link set {member} netns {bridge.vrf}" for member in members))
        self.run(f"{inside} link add {br} type bridge; {inside} link set {br} up")
        for member in members:
            self.run(f"{inside} link set {member} master {br}; {inside} link set {member} up")
        self.run(f"{inside} link set {vx} type bridge_slave learning off")
        if bridge.gateway:
            self.run(f"{inside} address add {bridge.gateway} dev {br}")

    def _start_frr(self) -> None:
        try:
            user = pwd.getpwnam("frr")
        except KeyError:
            raise SetupError("FRR is not installed: apt-get install --no-install-recommends frr") from None
        self._frr.mkdir()
        files = {"zebra": self._zebra_config(), "bgpd": self._bgp_config(),
                 "vtysh": "no service integrated-vtysh-config\n"}
        for name, text in files.items():
            (self._frr / f"{name}.conf").write_text(text)
        for path in (self._frr, *self._frr.iterdir()):
            shutil.chown(path, user.pw_uid, user.pw_gid)
        self._start_frr_daemon("zebra", "-s", "90000000", *(["--vrfwnetns"] if self._vrfs else []))
        self._start_frr_daemon("bgpd")

    def _start_frr_daemon(self, name: str, *more: str) -> None:
        daemon = self.start_daemon(name, [
            str(FRR_DAEMONS / name), "-u", "frr", "-g", "frr", "-f", f"{self._frr}/{name}.conf",
            "-i", f"{self._frr}/{name}.pid", "-z", f"{self._frr}/zserv.api",
            "--vty_socket", str(self._frr), "-A", "127.0.0.1", "-P", "0",
            "--log", "stdout", "--log-level", "warnings", *more])
        daemon.await_ready("answers", lambda: self._silent(name))

    def _silent(self, daemon: str) -> Optional[str]:
        """Says why a daemon of FRR does not answer."""
        out, err, status = self.pexec(["vtysh", "--vty_socket", str(self._frr), "--config_dir", str(self._frr),
                                       "-d", daemon, "-c", "show version"])
        return None if status == 0 else out + err

    def _zebra_config(self) -> str:
        return "".join(f"vrf {v.name}\n vni {v.vni}\nexit-vrf\n" for v in self._vrfs if v.vni)

    def _bgp_config(self) -> str:
        lines = [f"router bgp {self._as}", f" bgp router-id {self._vtep}", " no bgp ebgp-requires-policy",
                 " no bgp default ipv4-unicast", " timers bgp 10 30"]
        for p in self._peers:
            lines += [f" neighbor {p.address} remote-as {p.autonomous_system}",
                      f" neighbor {p.address} timers connect 1"]
            if p.passive:
                lines.append(f" neighbor {p.address} passive")
        lines.append(" address-family l2vpn evpn")
        lines += [f"  neighbor {p.address} activate" for p in self._peers]
        lines += ["  advertise-all-vni", " exit-address-family"]
        if any(p.underlay for p in self._peers):
            lines += [" address-family ipv4 unicast", f"  network {self._vtep}/32"]
            lines += [f"  neighbor {p.address} activate" for p in self._peers if p.underlay]
            lines.append(" exit-address-family")
        for v in self._vrfs:
            if v.vni:
                lines += [f"router bgp {self._as} vrf {v.name}", f" bgp router-id {self._vtep}",
                          " address-family ipv4 unicast", "  redistribute connected", " exit-address-family",
                          " address-family l2vpn evpn", "  advertise ipv4 unicast", " exit-address-family"]
        return "\n".join(lines) + "\n"
