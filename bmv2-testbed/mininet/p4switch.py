"""A Mininet switch that runs a P4 program: p4evpn's embedded switch, or BMv2."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Optional

from node import Device, silence
from run import SetupError, find

EMBEDDED = "embedded"  # p4evpn switch
BMV2 = "bmv2"  # simple_switch_grpc
CPU_PORT = 510
FIRST_THRIFT_PORT = 9090

GET_BMV2 = "docs/bmv2.md says how to get BMv2; --switch embedded does without"


class P4Switch(Device):
    """A switch whose P4 ports are its Mininet ports: port2=7 of a link is port 7.

    folder: where its socket and log go
    target: EMBEDDED or BMV2
    binary: p4evpn, for EMBEDDED
    device_id: P4Runtime device id; 0: the number in the switch's name
    grpc: address of P4Runtime, HOST:PORT or unix:PATH; "": NAME.sock in the folder
    thrift_port: of BMv2; 0: 9089 and the device id
    program, p4info: what to run; "": a program is pushed by P4Runtime
    """

    def __init__(self, name: str, folder: Path, target: str = EMBEDDED, binary: str = "p4evpn",
                 device_id: int = 0, grpc: str = "", thrift_port: int = 0,
                 program: str = "", p4info: str = "", **params: Any) -> None:
        super().__init__(name, folder, **params)
        self.target = target
        self.device_id = device_id or int(self.dpid, 16)
        self.grpc = grpc or f"unix:{folder}/{name}.sock"
        self.thrift_port = thrift_port or FIRST_THRIFT_PORT - 1 + self.device_id
        self._binary, self._program, self._p4info = binary, program, p4info

    def start(self, _controllers: Any) -> None:
        """Starts the switch and waits until it serves P4Runtime."""
        for path in filter(None, (self._program, self._p4info)):
            if not Path(path).is_file():
                raise SetupError(f"{self.name}: no P4 artefact {path}: `make p4` compiles the program (it needs p4c)")
        self._require_free(self.grpc)
        args = self._command()
        if self.target == BMV2:
            self._require_free(f"0.0.0.0:{self.thrift_port}")
        for intf in self._p4_ports().values():
            silence(self, intf.name)
        daemon = self.start_daemon("", args)
        daemon.await_ready(f"serves P4Runtime at {self.grpc}", lambda: refuses(self.grpc))
        if self.target == BMV2:
            daemon.await_ready(f"serves Thrift at port {self.thrift_port}", self._deepen_queues)

    def _p4_ports(self) -> dict[int, Any]:
        return {port: intf for port, intf in self.intfs.items() if intf.name != "lo"}

    def _command(self) -> list[str]:
        common = ["--device-id", str(self.device_id)]
        for port, intf in sorted(self._p4_ports().items()):
            common += ["-i", f"{port}@{intf.name}"]
        common += [self._program] if self._program else ["--no-p4"]
        own = ["--grpc-server-addr", self.grpc, "--cpu-port", str(CPU_PORT)]
        if self.target == EMBEDDED:
            info = ["--p4info", self._p4info] if self._program else []
            return [self._binary, "switch", *common, *own, *info]
        return [find("simple_switch_grpc", GET_BMV2), "--thrift-port", str(self.thrift_port),
                "--log-console", "--log-level", "warn", *common, "--", *own,
                "--max-mc-groups", "8192", "--max-l1-entries", "8192", "--max-l2-entries", "16384"]

    def _require_free(self, address: str) -> None:
        """Refuses to start where something else would answer in our stead."""
        if refuses(address) is None:
            raise SetupError(f"{self.name}: {address} is in use: end what listens there (ss -lptx), or choose another")

    def _deepen_queues(self) -> Optional[str]:
        """Makes BMv2's queues hold a flood's copies; its own 64 frames a port lose them."""
        if (cli := shutil.which("simple_switch_CLI")) is None:
            return None
        done = subprocess.run([cli, "--thrift-port", str(self.thrift_port)], input="set_queue_depth 4096\n",
                              capture_output=True, text=True, check=False)
        return None if done.returncode == 0 and "Could not connect" not in done.stdout else done.stdout + done.stderr


def refuses(address: str) -> Optional[str]:
    """Says why nothing can connect to an address."""
    path = address.removeprefix("unix:")
    family = socket.AF_INET if path == address else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        try:
            host, _, port = address.rpartition(":")
            s.connect(path if family == socket.AF_UNIX else (host, int(port)))
        except OSError as e:
            return str(e)
    return None
