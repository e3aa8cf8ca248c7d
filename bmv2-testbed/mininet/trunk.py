"""The far end of a trunk: gives each VLAN of it to a host that knows nothing of tags."""

import sys
from pathlib import Path
from typing import Any

from node import Namespace, silence


class Trunk(Namespace):
    """Joins hosts to a trunk: the link with port N is of VLAN N, port 1 the trunk.

    It stands in for the kernel's 802.1Q device, which not every kernel has.
    """

    def start(self, _controllers: Any) -> None:
        """Starts to carry frames."""
        for intf in self.intfList():
            silence(self, intf.name)
        stations = [f"{vlan}={intf.name}" for vlan, intf in self.intfs.items() if vlan > 1]
        program = Path(__file__).with_name("vlans.py")
        self.start_daemon("", [sys.executable, str(program), self.intfs[1].name, *stations])
