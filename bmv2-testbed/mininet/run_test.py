"""The folder of a run, and its daemons."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from run import Daemon, Folder, SetupError, eventually


class Machine:
    """A node without a namespace of its own."""

    name = "n1"

    def popen(self, command: list[str], **params: Any) -> Any:
        """Starts a process as Mininet's nodes do."""
        return subprocess.Popen(command, **params)  # pylint: disable=consider-using-with


class RunTest(unittest.TestCase):
    """What a run leaves to the next one."""

    def setUp(self) -> None:
        self.path = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.path, ignore_errors=True)

    def test_second_run_in_a_folder_is_refused(self) -> None:
        first = Folder(self.path)
        with self.assertRaisesRegex(SetupError, f"another run uses {self.path}"):
            Folder(self.path)
        first.remove()
        self.assertFalse(self.path.exists())

    def test_what_a_killed_run_left_is_removed(self) -> None:
        (self.path / "leaf1").mkdir()
        (self.path / "leaf1" / "zebra.conf").touch()
        subprocess.run("ip link add s9-eth1 type veth peer far9".split(), check=True)
        (self.path / "devices").write_text("s9-eth1\ns9-eth2\n")
        left = Daemon(Machine(), self.path / "log", ["sh", "-c", f"echo up; tail -f {self.path}/leaf1/zebra.conf"])
        eventually("it runs", lambda: None if (self.path / "log").read_text() else "not yet")
        folder = Folder(self.path)
        eventually("the process is killed", lambda: None if left.ended() else "it runs")
        self.assertEqual([p.name for p in self.path.iterdir()], ["lock"])
        self.assertNotIn("s9-eth1", subprocess.getoutput("ip -o link"))
        folder.remove()

    def test_daemon_that_does_not_heed_is_killed(self) -> None:
        daemon = Daemon(Machine(), self.path / "log", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
        eventually("it has set its trap", lambda: None if (self.path / "log").read_text() else "not yet")
        daemon.stop(patience=0.1)
        self.assertIn("status -9", daemon.ended() or "")

    def test_waiting_for_what_never_comes_says_the_last_complaint(self) -> None:
        with self.assertRaisesRegex(SetupError, "it rains: not within 0 s: no cloud"):
            eventually("it rains", lambda: "no cloud", within=0.1)


if __name__ == "__main__":
    unittest.main()
