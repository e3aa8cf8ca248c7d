"""Makes objects by the gateway's gRPC API, whose messages it learns from the API itself.

    objects.py ADDRESS FILE.json

The file is a list of [SERVICE, METHOD, REQUEST], the request in its JSON form.
"""

import json
import sys
from typing import Any, Optional

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

TIMEOUT = 60  # seconds


def reflection_messages() -> tuple[Any, Any]:
    """Gives request and response of gRPC server reflection, as far as they are used.

    A FileDescriptorResponse is on the wire what a FileDescriptorSet is.
    """
    field = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    f = descriptor_pb2.FileDescriptorProto(
        name="reflection.proto", package="r", dependency=[descriptor_pb2.DESCRIPTOR.name])
    f.message_type.add(name="Request").field.add(
        name="symbol", number=4, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    f.message_type.add(name="Response").field.add(
        name="files", number=4, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL,
        type_name=".google.protobuf.FileDescriptorSet")
    pool.AddSerializedFile(f.SerializeToString())
    factory = message_factory.MessageFactory(pool)
    request, response = (pool.FindMessageTypeByName(f"r.{name}") for name in ("Request", "Response"))
    return factory.GetPrototype(request), factory.GetPrototype(response)


def pool_of(files: Any) -> descriptor_pool.DescriptorPool:
    """Makes a pool of descriptors, each file after those that it needs."""
    pool, waiting = descriptor_pool.DescriptorPool(), {f.name: f for f in files}

    def add(name: str) -> None:
        if f := waiting.pop(name, None):
            for needed in f.dependency:
                add(needed)
            pool.AddSerializedFile(f.SerializeToString())

    for name in list(waiting):
        add(name)
    return pool


class API:
    """The services of a gRPC server with reflection."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)

    def _describe(self, service: str) -> descriptor_pool.DescriptorPool:
        request, response = reflection_messages()
        ask = self._channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", request.SerializeToString, response.FromString)
        (answer,) = ask(iter([request(symbol=service)]), timeout=TIMEOUT)
        return pool_of(answer.files.file)

    def call(self, service: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        """Calls a method with the JSON form of its request; gives that of its answer."""
        pool = self._describe(service)
        m = pool.FindServiceByName(service).methods_by_name[method]
        factory = message_factory.MessageFactory(pool)
        ask, answer = factory.GetPrototype(m.input_type), factory.GetPrototype(m.output_type)
        rpc = self._channel.unary_unary(f"/{service}/{method}", ask.SerializeToString, answer.FromString)
        reply: dict[str, Any] = json_format.MessageToDict(rpc(json_format.ParseDict(request, ask()), timeout=TIMEOUT))
        return reply


def main() -> Optional[str]:
    """Makes the objects of a file; says what went wrong."""
    address, path = sys.argv[1:]
    with open(path, encoding="utf-8") as f:
        calls = json.load(f)
    api = API(address)
    for service, method, request in calls:
        try:
            api.call(service, method, request)
        except grpc.RpcError as e:
            return f"{method} {json.dumps(request)}: {e.code().name}: {e.details()}"
    return None


if __name__ == "__main__":
    sys.exit(main())
