"""What one run has on the machine: a folder and the daemons of its nodes."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

PATIENCE = 120.0  # seconds for what takes less than one when the machine is idle


class SetupError(Exception):
    """Something that the user can put right; the message says how."""


def find(program: str, hint: str) -> str:
    """Gives the path of a program, or says where to get it."""
    path = shutil.which(program)
    if path is None:
        raise SetupError(f"{program} is not on PATH: {hint}")
    return path


def eventually(what: str, check: Callable[[], Optional[str]], within: float = PATIENCE) -> None:
    """Calls check until it has no complaint."""
    end = time.monotonic() + within
    while (complaint := check()) is not None:
        if time.monotonic() > end:
            raise SetupError(f"{what}: not within {within:.0f} s: {complaint}")
        time.sleep(0.05)


class Folder:
    """The folder of a run, for configurations, sockets and logs.

    A second run in the same folder is refused; what a killed one left in it is
    removed, its processes and devices too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)  # FRR's daemons are not root
        self._lock = open(path / "lock", "a", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise SetupError(f"another run uses {path}: end it, or choose another folder by --dir") from None
        self._sweep()

    def _sweep(self) -> None:
        for process in self._processes():
            os.kill(process, signal.SIGKILL)
        devices = self.path / "devices"
        for device in devices.read_text().split() if devices.exists() else ():
            # Most are gone with the namespace at their other end.
            subprocess.run(["ip", "link", "delete", device], capture_output=True, check=False)
        for entry in self.path.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _processes(self) -> list[int]:
        """Finds the daemons of a run: each has a path in the folder as an argument."""
        mark = (str(self.path) + "/").encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended
        return [pid for pid in found if pid != os.getpid()]

    def note_device(self, name: str) -> None:
        """Notes a device that is about to be made in the machine's own namespace."""
        with open(self.path / "devices", "a", encoding="ascii") as f:
            f.write(name + "\n")

    def remove(self) -> None:
        """Removes the folder at the end of the run."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


class Daemon:
    """A program that runs in a node's namespaces, with its output in a file."""

    def __init__(self, node: Any, log: Path, args: Sequence[str]) -> None:
        self.name = f"{node.name}: {Path(args[0]).name}"
        self.log = log
        # If this process is killed, its daemons do not outlive it.
        command = ["setpriv", "--pdeathsig", "KILL", *args]
        with open(log, "ab") as out:
            self._process: subprocess.Popen[bytes] = node.popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def pid(self) -> int:
        """The process's id: what enters the namespaces becomes the program."""
        return self._process.pid

    def ended(self) -> Optional[str]:
        """Says how the daemon ended, if it has."""
        status = self._process.poll()
        if status is None:
            return None
        words = self.log.read_text(errors="replace")[-800:].strip() if self.log.exists() else "none"
        return f"{self.name} has ended with status {status}; its last words ({self.log}): {words}"

    def await_ready(self, what: str, check: Callable[[], Optional[str]]) -> None:
        """Waits for a condition that the daemon brings about."""
        def both() -> Optional[str]:
            if (end := self.ended()) is not None:
                raise SetupError(end)
            return check()
        eventually(f"{self.name}: {what}", both)

    def stop(self, patience: float = 5) -> None:
        """Ends the daemon, by force if it does not by itself."""
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the daemon without a chance to say goodbye."""
        self._process.kill()
        self._process.wait()
