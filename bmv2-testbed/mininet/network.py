"""The networks as a running Mininet."""

import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mininet.log import info
from mininet.net import Mininet
from mininet.topo import Topo
from mininet.util import quietRun

from checks import pings
from node import Cable, Device
from run import Folder, SetupError


class Parts(Topo):
    """Several networks side by side: modules with an add function."""

    def build(self, *, parts: list[ModuleType], **params: Any) -> None:  # pylint: disable=arguments-differ
        """Makes the nodes and cables of each."""
        for part in parts:
            part.add(self, **params)


class Networks(Mininet):
    """The networks; pingall keeps to the hosts that should reach each other."""

    def __init__(self, parts: list[ModuleType], folder: Folder, target: str, binary: str) -> None:
        Mininet.inited = True  # else it changes limits of the whole machine
        self._parts, self._folder = parts, folder
        self._tenants = [tenant for part in parts for tenant in part.TENANTS]
        topo = Parts(parts=parts, switch={"target": target, "binary": binary},
                     gateway={"binary": binary}, common={"folder": folder.path})
        super().__init__(topo, controller=None, link=Cable, build=False, autoSetMacs=True)

    def addLink(self, node1: Any, node2: Any, port1: Any = None, port2: Any = None, **params: Any) -> Any:
        """Cables two nodes, and notes the devices that do not go with a namespace."""
        for node, port in ((node1, port1), (node2, port2)):
            if not self[str(node)].inNamespace and port is not None:
                self._folder.note_device(f"{node}-eth{port}")
        return super().addLink(node1, node2, port1, port2, **params)

    def start(self) -> None:
        """Starts all, makes the gateways' objects, and waits until the hosts of each tenant reach each other."""
        super().start()
        for part in self._parts:
            for gateway, calls in part.OBJECTS.items():
                self._create(gateway, calls)
        for first, *others in self._tenants:
            for other in others:
                info(f"*** Waiting until {first} reaches {other}\n")
                if complaint := pings(first, self[other].IP())(self):
                    raise SetupError(complaint)

    def _create(self, gateway: str, calls: list[Any]) -> None:
        path = self._folder.path / f"{gateway}.json"
        path.write_text(json.dumps(calls, indent=1))
        program = str(Path(__file__).with_name("objects.py"))
        out, err, status = self[gateway].pexec([sys.executable, program, "unix:/run/p4evpn/api.sock", str(path)])
        if status:
            raise SetupError(f"{gateway}: {out}{err}")

    def ping(self, hosts: Any = None, timeout: Any = None) -> float:
        """Pings between hosts, by default between those of each tenant; gives the loss in percent."""
        groups = [hosts] if hosts else [[self[name] for name in tenant] for tenant in self._tenants]
        loss = 0.0
        for group in groups:
            loss += super().ping(group, timeout)
        return loss / len(groups)

    def stop(self) -> None:
        """Takes everything away, also if a command of a node was interrupted."""
        nodes = [*self.hosts, *self.switches]
        for node in nodes:
            if isinstance(node, Device):
                node.stop_daemons()
        for node in nodes:
            if node.shell and node.shell.poll() is None:
                os.killpg(node.shell.pid, signal.SIGKILL)
            node.cleanup()
        for link in self.links:
            for intf in (link.intf1, link.intf2):
                if not intf.node.inNamespace:
                    quietRun(f"ip link del {intf.name}")
