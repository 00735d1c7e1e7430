"""Google's protobuf beside our request scanner: both say what a request is about, or refuse it."""

import zlib
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet
from pymilvus.grpc_gen import milvus_pb2

from vecguard.errors import VecguardError
from vecguard.proxy.authorization.methods import METHODS, Need
from vecguard.proxy.authorization.request_fields import RequestScanner, fields_of_whole, is_whole

#: Every need that a request can be scanned for.
NEEDS = [need for need in METHODS.values() if not need.streaming]
LIMIT = 2**24

_START_GROUP = 3
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}


class Fields(NamedTuple):
    database: str
    names: tuple[str, ...]
    other_database: str
    role: str


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


def compressed(message: bytes, encoding: bytes) -> bytes:
    deflater = zlib.compressobj(1, wbits=_WINDOW_BITS[encoding])
    return deflater.compress(message) + deflater.flush()


def scanned(
    need: Need, pieces: Iterable[bytes], *, encoding: bytes | None = None, max_bytes: int = LIMIT
) -> Fields:
    """What our scanner finds."""
    scanner = RequestScanner(need, encoding=encoding, max_bytes=max_bytes)
    for piece in pieces:
        scanner.feed(piece)
    found = scanner.finish()
    return Fields(found.database, found.names, found.other_database, found.role)


def _found_in_whole(need: Need, message: bytes) -> Fields | None:
    assert is_whole(framed(message)), "a whole request is not taken for one"
    try:
        found = fields_of_whole(need, framed(message))
    except VecguardError:
        return None
    return Fields(found.database, found.names, found.other_database, found.role)


def compare(
    need: Need, message: bytes, pieces: Iterable[bytes], *, encoding: bytes | None = None
) -> str:
    """Asserts that our scanner judges the pieces as protobuf judges the message.

    It must refuse what protobuf refuses, and in addition just what `_is_ours_to_refuse`.

    The message types have only the fields that are looked for: malformed values of others are the
    server's to refuse. The types of pymilvus must agree where they can read the message.
    """
    try:
        found = scanned(need, pieces, encoding=encoding)
    except VecguardError:  # whichever: a value that is cut may seem too long at first
        found = None
    if encoding is None:
        assert found == _found_in_whole(need, message), "a request in one piece is read differently"
    try:
        request = _type_of_needed_fields(need).FromString(message)
    except DecodeError:
        assert found is None, "we read what protobuf refuses"
        return "refused by both"
    if _is_ours_to_refuse(need, request):
        assert found is None, "we read what we should refuse"
        return "refused by us"
    expected = _fields(need, request)
    assert found == expected, f"we read {found}, protobuf {expected}"
    kind = request_type(need)
    if kind is not None:
        try:
            real = kind.FromString(message)
        except DecodeError:
            return "read"
        assert _fields(need, real) == expected, "the types of pymilvus disagree"
    return "read"


@cache
def request_type(need: Need) -> type[Message] | None:
    """The type of pymilvus; None when pymilvus does not have the method."""
    method = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name.get(
        need.method
    )
    return None if method is None else GetMessageClass(method.input_type)


@cache
def _type_of_needed_fields(need: Need) -> type[Message]:
    file = FileDescriptorProto(name=f"{need.method}.proto", package=need.method, syntax="proto3")
    message = file.message_type.add(name="Request")
    text, several = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_REPEATED
    if need.names:
        message.field.add(name="names", number=need.names, type=text, label=several)
    for name, number in (("database", need.database), ("other", need.moves_to)):
        if number:
            message.field.add(name=name, number=number, type=text)
    path = need.name or need.own_role
    for depth, number in enumerate(path, start=1):
        if depth == len(path):
            message.field.add(name="name", number=number, type=text)
        else:
            message.field.add(
                name="part",
                number=number,
                type=FieldDescriptorProto.TYPE_MESSAGE,
                type_name=f".{need.method}.Part{depth}",
            )
            message = file.message_type.add(name=f"Part{depth}")
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{need.method}.Request"))


def _is_ours_to_refuse(need: Need, request: Message) -> bool:
    """Whether a group, or a field that is looked for with a wrong wire type, is in it.

    That is at the top level and in the messages on the path. For protobuf both are unknown fields.
    The limits of sizes and numbers are out of reach for these messages.
    """
    path = need.name or need.own_role
    needed = {need.names, need.database, need.moves_to, *path[:1]}
    while True:
        for unknown in UnknownFieldSet(request):
            if unknown.wire_type == _START_GROUP or unknown.field_number in needed:
                return True
        path = path[1:]
        if not path or not request.HasField("part"):
            return False
        request = request.part
        needed = {path[0]}


def _fields(need: Need, request: Message) -> Fields:
    if need.names:
        names = tuple(_value(request, (need.names,)))
    elif len(need.name) > 1:
        names = (_value(request, need.name) or "*",)
    else:
        names = (_value(request, need.name),) if need.name else ("*",)
    return Fields(
        _value(request, (need.database,)),
        names,
        _value(request, (need.moves_to,)),
        _value(request, need.own_role),
    )


def _value(request: Message, path: tuple[int, ...]):
    for number in path:
        if not number:
            return ""
        request = getattr(request, request.DESCRIPTOR.fields_by_number[number].name)
    return request if path else ""
