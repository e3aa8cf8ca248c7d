"""Mininet with a p4evpn gateway in each of two networks: see bmv2-testbed/README.md.

    /usr/bin/python3 bmv2-testbed/mininet           # the Mininet prompt
    /usr/bin/python3 bmv2-testbed/mininet --test    # the checks, and no prompt
"""

import argparse
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from run import Folder, SetupError, find

MODULES = {"mininet": "mininet", "grpc": "python3-grpcio", "google.protobuf": "python3-protobuf"}
NETWORKS = ("bridged", "reference")
PACKAGES = {"mnexec": "mininet", "ifconfig": "net-tools", "ethtool": "ethtool", "vtysh": "frr"}

TO_TRY = """
Both networks are up. Logs and sockets are in {folder}. Try:
  pingall                                    the hosts of each tenant
  h1 ping h3                                 by VXLAN to a leaf
  h40 ping 6.6.6.6                           routed, by a type-5 route (reference network)
  gw1 p4evpn show fdb                        bridges, vteps, routes, entries, ...
  gw2 p4evpn show prefixes green
  py net['leaf1'].vtysh('show bgp l2vpn evpn')
  sh tcpdump -c 4 -ni s1-eth10 udp port 4789   while in another terminal: h1 pings h3
  links, net, dump                           what is cabled to what
P4Runtime of s1 and s2: unix:{folder}/s1.sock and s2.sock, device ids 1 and 2{thrift}
(docs: bmv2-testbed/p4runtime-shell.md). Ctrl-D ends all and removes it.
"""


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="mininet", description="p4evpn gateways in Mininet")
    parser.add_argument("--switch", choices=("embedded", "bmv2"), default=os.environ.get("P4EVPN_TARGET", "embedded"),
                        help="p4evpn's own switch, or simple_switch_grpc (default: %(default)s)")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="one of the networks (default: both)")
    parser.add_argument("--test", action="store_true", help="run pingall and the checks, without a prompt")
    parser.add_argument("--binary", default="p4evpn", help="the p4evpn binary (default: the one on PATH)")
    parser.add_argument("--dir", type=Path, default=Path("/run/p4evpn-mininet"),
                        help="folder of the run, made and removed (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="let Mininet say what it does")
    return parser.parse_args()


def require(options: argparse.Namespace) -> None:
    """Checks what a run needs before anything is made."""
    if os.geteuid() != 0:
        raise SetupError("Mininet makes network namespaces: run it as root (sudo make mininet)")
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where ip is, which not every root's PATH has
    for program, package in PACKAGES.items():
        find(program, f"apt-get install --no-install-recommends {package}")
    for module, package in MODULES.items():
        try:
            import_module(module)
        except ImportError:
            raise SetupError(f"{sys.executable} has no module {module}: use /usr/bin/python3, and "
                             f"apt-get install --no-install-recommends {package}") from None
    options.binary = str(Path(find(options.binary, "`make build` makes bin/p4evpn")).resolve())
    os.environ["PATH"] = f"{Path(options.binary).parent}:{os.environ['PATH']}"
    if options.switch == "bmv2":
        find("simple_switch_grpc", "docs/bmv2.md says how to get BMv2; --switch embedded does without")


def check_all(net: Any, parts: list[Any]) -> int:
    """Runs pingall and the checks; gives the number that failed."""
    failed = 0
    claims = [("pingall loses nothing", lambda net: f"{loss:.0f} % lost" if (loss := net.pingAll()) else "")]
    claims += [check for part in parts for check in part.CHECKS]
    for claim, probe in claims:
        complaint = probe(net)
        failed += bool(complaint)
        print(f"FAIL  {claim}: {complaint}" if complaint else f"ok    {claim}", flush=True)
    print(f"mininet: {len(claims) - failed} of {len(claims)} checks passed", flush=True)
    return failed


def operate(options: argparse.Namespace, folder: Folder) -> int:
    """Brings the networks up and gives them to the user, or to the checks."""
    # Only here is Mininet known to be there.
    from mininet.cli import CLI  # pylint: disable=import-outside-toplevel
    from mininet.log import setLogLevel  # pylint: disable=import-outside-toplevel

    from network import Networks  # pylint: disable=import-outside-toplevel

    setLogLevel("info" if options.verbose else "output")
    parts = [import_module(name) for name in options.network or NETWORKS]
    print(f"Building {' and '.join(p.__name__ for p in parts)} ({options.switch} switch).", flush=True)
    net = Networks(parts, folder, options.switch, options.binary)
    try:
        net.start()
        if options.test:
            return 1 if check_all(net, parts) else 0
        thrift = "; Thrift at 9090 and 9091" if options.switch == "bmv2" else ""
        print(TO_TRY.format(folder=folder.path, thrift=thrift))
        CLI(net)
        return 0
    finally:
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        net.stop()


def main() -> int:
    """Runs it; gives the exit status."""
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda number, _: sys.exit(128 + number))
    try:
        options = parse()
        require(options)
        folder = Folder(options.dir)
        try:
            return operate(options, folder)
        finally:
            folder.remove()
    except SetupError as e:
        print(f"mininet: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
