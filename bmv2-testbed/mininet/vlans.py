"""Carries frames between a trunk and the devices of its VLANs.

    vlans.py TRUNK-DEVICE VLAN=DEVICE...
"""

import selectors
import socket
import struct
import sys
from typing import Optional

SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
TP_STATUS_VLAN_VALID = 1 << 4
ETH_P_ALL, ETH_P_8021Q = 0x0003, 0x8100
MAX_FRAME = 9216


def open_raw(device: str) -> socket.socket:
    """Opens a device for all frames that come in by it."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.bind((device, ETH_P_ALL))
    return s


def receive(s: socket.socket) -> tuple[bytes, Optional[int]]:
    """Gives a frame without its tag, and its VLAN: Linux takes the tag out of the frame."""
    frame, ancillary, _, _ = s.recvmsg(MAX_FRAME, socket.CMSG_SPACE(AUXDATA.size))
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, *_, tci, _ = AUXDATA.unpack_from(data)
            if status & TP_STATUS_VLAN_VALID:
                return frame, tci & 0xFFF
    return frame, None


def send(s: socket.socket, frame: bytes) -> None:
    """Sends a frame; a cable that is down loses it."""
    try:
        s.send(frame)
    except OSError:
        pass


def carry(trunk_device: str, devices: dict[int, str]) -> None:
    """Carries frames for ever."""
    trunk = open_raw(trunk_device)
    stations = {vlan: open_raw(device) for vlan, device in devices.items()}
    ready = selectors.DefaultSelector()
    ready.register(trunk, selectors.EVENT_READ, (trunk, None))
    for station, s in stations.items():
        ready.register(s, selectors.EVENT_READ, (s, station))
    while True:
        for key, _ in ready.select():
            s, station = key.data
            try:
                frame, vlan = receive(s)
            except OSError:
                continue  # said once when the cable goes down
            if station is not None:
                send(trunk, frame[:12] + struct.pack("!HH", ETH_P_8021Q, station) + frame[12:])
            elif vlan in stations:
                send(stations[vlan], frame)


if __name__ == "__main__":
    carry(sys.argv[1], {int(vlan): device for vlan, device in (a.split("=") for a in sys.argv[2:])})
