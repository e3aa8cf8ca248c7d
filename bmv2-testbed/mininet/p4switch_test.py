"""P4Switch alone, without a network."""

import shutil
import socket
import tempfile
import unittest
from pathlib import Path
from typing import Any

from p4switch import BMV2, EMBEDDED, P4Switch, refuses
from run import SetupError


class P4SwitchTest(unittest.TestCase):
    """What a switch refuses to start with, and what it starts."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def switch(self, **params: Any) -> P4Switch:
        """Makes a switch that is removed with the test."""
        s = P4Switch("s7", self.folder, **params)
        self.addCleanup(s.terminate)
        self.addCleanup(s.stop)
        return s

    def refused(self, switch: P4Switch, want: str) -> None:
        """Starts a switch in vain."""
        with self.assertRaisesRegex(SetupError, want):
            switch.start([])

    def test_missing_artefact_is_named(self) -> None:
        self.refused(self.switch(program="nowhere/p4evpn.json"), "no P4 artefact nowhere/p4evpn.json: `make p4`")

    def test_p4runtime_port_in_use_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            for target in (EMBEDDED, BMV2):
                if target == EMBEDDED or shutil.which("simple_switch_grpc"):
                    self.refused(self.switch(target=target, grpc=address), f"s7: {address} is in use: ")

    @unittest.skipUnless(shutil.which("simple_switch_grpc"), "simple_switch_grpc is not on PATH")
    def test_thrift_port_in_use_is_named(self) -> None:
        with socket.create_server(("0.0.0.0", 9096)):  # 9089 and the 7 of s7
            self.refused(self.switch(target=BMV2), "s7: 0.0.0.0:9096 is in use: ")

    @unittest.skipIf(shutil.which("simple_switch_grpc"), "simple_switch_grpc is on PATH")
    def test_missing_bmv2_is_named(self) -> None:
        self.refused(self.switch(target=BMV2), "simple_switch_grpc is not on PATH: docs/bmv2.md")

    def test_switch_that_dies_shows_its_last_words(self) -> None:
        self.refused(self.switch(binary="/bin/false"), "s7: false has ended with status 1")

    def test_device_id_and_thrift_port_follow_the_name(self) -> None:
        s = self.switch()
        self.assertEqual((s.device_id, s.thrift_port, s.grpc), (7, 9096, f"unix:{self.folder}/s7.sock"))

    def test_address_refuses_or_not(self) -> None:
        path = self.folder / "sock"
        self.assertIsNotNone(refuses(f"unix:{path}"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
            s.listen()
            self.assertIsNone(refuses(f"unix:{path}"))


if __name__ == "__main__":
    unittest.main()
