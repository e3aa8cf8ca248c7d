"""A P4Runtime client in plain Python, as anyone could write one, who only reads.

    p4runtime_client.py DESCRIPTORS ADDRESS DEVICE-ID ELECTION-ID BRIDGE

DESCRIPTORS is a FileDescriptorSet of p4/v1/p4runtime.proto, which `protoc
--include_imports --descriptor_set_out` writes. It prints as JSON what it found:
whether it is primary, the tables, the FDB of a bridge, the counters of its VNI,
its flood group, and what became of an attempt to write.
"""

import json
import queue
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import grpc
from google.protobuf import descriptor_pb2, message_factory

from objects import TIMEOUT, pool_of

SERVICE = "/p4.v1.P4Runtime/"


class Client:
    """A client of one device. Fields are those of p4runtime.proto."""

    def __init__(self, descriptors: bytes, address: str, device_id: int, election_id: int) -> None:
        self._pool = pool_of(descriptor_pb2.FileDescriptorSet.FromString(descriptors).file)
        self._factory = message_factory.MessageFactory(self._pool)
        self._channel = grpc.insecure_channel(address)
        self._device_id = device_id
        self._election_id = {"low": election_id}
        self._requests: queue.Queue[Optional[Any]] = queue.Queue()
        self._stream = self._channel.stream_stream(SERVICE + "StreamChannel", *self._types("StreamMessage"))(
            iter(self._requests.get, None))
        self.info = self._pipeline()

    def message(self, name: str, **fields: Any) -> Any:
        """Makes a message of p4.v1."""
        return self._factory.GetPrototype(self._pool.FindMessageTypeByName(f"p4.v1.{name}"))(**fields)

    def _types(self, method: str) -> tuple[Any, Any]:
        request, response = (type(self.message(method + kind)) for kind in ("Request", "Response"))
        return request.SerializeToString, response.FromString

    def _call(self, method: str, **fields: Any) -> Any:
        rpc = self._channel.unary_unary(SERVICE + method, *self._types(method))
        return rpc(self.message(method + "Request", device_id=self._device_id, **fields), timeout=TIMEOUT)

    def _pipeline(self) -> Any:
        p4info_and_cookie = 2
        return self._call("GetForwardingPipelineConfig", response_type=p4info_and_cookie).config.p4info

    def arbitrate(self) -> str:
        """Takes part in the arbitration; gives the name of its status, OK for the primary."""
        self._requests.put(self.message("StreamMessageRequest", arbitration={
            "device_id": self._device_id, "election_id": self._election_id}))
        code = next(self._stream).arbitration.status.code
        return next(str(c.name) for c in grpc.StatusCode if c.value[0] == code)

    def id(self, kind: str, name: str) -> int:
        """Gives the id of an object of P4Info, such as ("tables", "bridge.fdb")."""
        return int(next(o.preamble.id for o in getattr(self.info, kind) if o.preamble.name == name))

    def read(self, **entity: Any) -> list[Any]:
        """Reads entities, by the field that they have in Entity. All are taken from the stream: one that
        is left before its end may hang the interpreter when that ends."""
        rpc = self._channel.unary_stream(SERVICE + "Read", *self._types("Read"))
        (field,) = entity
        parts = list(rpc(self.message("ReadRequest", device_id=self._device_id, entities=[entity]), timeout=TIMEOUT))
        return [getattr(e, field) for part in parts for e in part.entities]

    def close(self) -> None:
        """Ends the stream and the connection."""
        self._requests.put(None)
        self._stream.cancel()
        self._channel.close()

    def insert(self, **entity: Any) -> None:
        """Inserts an entity, which is the primary's right."""
        self._call("Write", election_id=self._election_id, updates=[{"type": 1, "entity": entity}])


def outcome(call: Callable[[], Optional[str]]) -> str:
    """Gives what a call gives, or the name of the status that it fails with; "OK" for nothing."""
    try:
        return call() or "OK"
    except grpc.RpcError as e:
        return str(e.code().name)  # pylint: disable=no-member


def fdb(client: Client, bridge: bytes) -> dict[str, str]:
    """Reads the FDB of a bridge: the name of the action by MAC address."""
    actions = {a.preamble.id: a.preamble.name for a in client.info.actions}
    found = {}
    for e in client.read(table_entry={"table_id": client.id("tables", "bridge.fdb")}):
        key = {m.field_id: m.exact.value for m in e.match}
        if key[1] == bridge:
            # P4Runtime leaves leading zeros out.
            found[key[2].rjust(6, b"\0").hex(":")] = actions[e.action.action.action_id]
    return found


def counter(client: Client, name: str, index: int) -> int:
    """Reads the packets of one cell of a counter."""
    cells = client.read(counter_entry={"counter_id": client.id("counters", name), "index": {"index": index}})
    return int(cells[0].data.packet_count)


def main() -> None:
    """Reads what a gateway's controller wrote."""
    descriptors, address, device_id, election_id, bridge = sys.argv[1:]
    number = int(bridge)
    value = number.to_bytes((number.bit_length() + 7) // 8, "big")
    client = Client(Path(descriptors).read_bytes(), address, int(device_id), int(election_id))
    arbitration = outcome(client.arbitrate)
    (group,) = client.read(packet_replication_engine_entry={"multicast_group_entry": {"multicast_group_id": number}})
    entry = {"table_id": client.id("tables", "bridge.fdb"),
             "match": [{"field_id": 1, "exact": {"value": value}}, {"field_id": 2, "exact": {"value": b"\x99"}}],
             "action": {"action": {"action_id": client.id("actions", "bridge.drop")}}}
    print(json.dumps({
        "arbitration": arbitration,
        "tables": [t.preamble.name for t in client.info.tables],
        "fdb": fdb(client, value),
        "in": counter(client, "bridge_vxlan_in", number),
        "out": counter(client, "bridge_vxlan_out", number),
        "group": sorted([r.egress_port, r.instance] for r in group.multicast_group_entry.replicas),
        "write": outcome(lambda: client.insert(table_entry=entry)),
    }))
    client.close()


if __name__ == "__main__":
    main()
