"""What is fed with arbitrary bytes: one function each, for Hypothesis and for atheris.

A target returns when its code behaves, whatever the bytes are: it takes them, or refuses them
by the error that it documents. Any other exception is a finding.
"""

import ipaddress
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import hpack
from pymilvus.grpc_gen import milvus_pb2

from tests.fuzz.own_services import own_services
from tests.support.http2_handler import RecordingHandler
from tests.support.policies import limits_with
from tests.support.request_oracle import compare, framed
from vecguard.config import load_settings
from vecguard.errors import ConfigurationError, MalformedMessageError, TooManyFieldsError
from vecguard.generated.milvus.proto import milvus
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.codec import RequestCodec
from vecguard.milvus_layout import CorruptRecordError, Record
from vecguard.proxy.authentication import header
from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    MalformedHeaderError,
    WrongCredentialsError,
)
from vecguard.proxy.authorization.methods import METHODS
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import CompressionError, Http2ConnectionError
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.relay.calls import timeouts
from vecguard.proxy.relay.clients.forwarded_for import forwarded_host
from vecguard.proxy.relay.clients.proxy_header import ProxyHeader, ProxyHeaderError, read_header
from vecguard.proxy.relay.errors import InvalidTimeoutError
from vecguard.root_coord.session_wire import decode_request
from vecguard.tls import certificates
from vecguard.tls.pem import PemError

Target = Callable[[bytes], None]

_LIMITS = limits_with(concurrent_streams=4, header_list_bytes=2**14, useless_weight=100)
_MANY = 2**20
_ACCOUNT_REQUESTS = (
    milvus.CreateCredentialRequest,
    milvus.UpdateCredentialRequest,
    milvus.DeleteCredentialRequest,
    milvus.ListCredUsersRequest,
    milvus.SelectUserRequest,
    milvus.SelectRoleRequest,
    milvus.SelectGrantRequest,
)
_SCANNED = [
    METHODS[b"/milvus.proto.milvus.MilvusService/" + name]
    for name in (b"Search", b"Flush", b"SelectUser", b"SelectGrant", b"RestoreSnapshot")
]
_ROUNDED = 1 + 1e-9
_LONGEST_TIMEOUT_SECONDS = 99_999_999 * 3600


def authorization(data: bytes) -> None:
    """A value is a login or refused; the user whom it names does not depend on the caller."""
    claimed = header.claimed_username([data])
    try:
        login = header.parse(data)
    except WrongCredentialsError:
        assert claimed is not None
    except (MalformedHeaderError, ApiKeyError):
        assert claimed is None
    else:
        assert login.username == claimed
        password = login.password.reveal()
        assert len(password) < len(data)
        if len(password) > len("<redacted>"):
            assert password not in repr(login)


def grpc_timeout(data: bytes) -> None:
    """A number of seconds that comes back no longer than it went, or refused."""
    try:
        seconds = timeouts.decode([data])
    except InvalidTimeoutError:
        return
    assert 0 <= seconds <= _LONGEST_TIMEOUT_SECONDS
    assert timeouts.decode([timeouts.encode(seconds)]) <= seconds * _ROUNDED


def frames_of_a_client(data: bytes) -> None:
    """Frames after a preface, cut at a place that the first byte chooses."""
    connection, handler = _connection(client_side=False)
    connection.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    _heard(connection, handler, data)


def frames_of_a_server(data: bytes) -> None:
    """The same for a connection on which we have asked twice."""
    connection, handler = _connection(client_side=True)
    for _ in range(2):
        stream = Stream(None)
        connection.open(stream, b"\x88")
    _heard(connection, handler, data)


def header_block(data: bytes) -> None:
    """Two blocks, one after the other, against the `hpack` library."""
    cut = data[0] if data else 0
    ours = HeaderDecoder(limits_with(header_list_bytes=_MANY, header_block_bytes=_MANY))
    theirs = hpack.Decoder(max_header_list_size=_MANY)
    theirs.max_allowed_table_size = 4096
    for block in (data[1 : 1 + cut], data[1 + cut :]):
        try:
            expected = [(bytes(name), bytes(value)) for name, value in theirs.decode(block, True)]
        except hpack.HPACKError:
            expected = None
        try:
            found = ours.decode(block)
        except CompressionError:
            return  # stricter than the oracle in places, which the unit tests name
        if expected is None:
            return
        assert found is not None
        # The space around a value is no part of it in gRPC.
        expected = [(name, value.strip(b" \t")) for name, value in expected]
        assert [(field.name, field.value) for field in found] == expected


def session_message(data: bytes) -> None:
    """What root coord reads of a proxy; the short way reads what betterproto reads."""
    try:
        decode_request(data)
    except Exception as error:
        with suppress(type(error)):
            internal.SessionRequest().parse(data)
            raise AssertionError("betterproto reads it") from error


def account_request(data: bytes) -> None:
    """A message of the kind that the first byte chooses is read as protobuf reads it, or refused.

    Its texts are compared, because the name of a user is one.
    """
    kind = _ACCOUNT_REQUESTS[data[0] % len(_ACCOUNT_REQUESTS)] if data else _ACCOUNT_REQUESTS[0]
    codec = RequestCodec()
    try:
        request = codec.decode(data[1:], kind)
    except (MalformedMessageError, TooManyFieldsError):
        return
    oracle = getattr(milvus_pb2, kind.__name__).FromString(data[1:])
    numbers = request._betterproto.field_name_by_number
    for field in oracle.DESCRIPTOR.fields:
        value = getattr(request, numbers.get(field.number, ""), None)
        if isinstance(value, str):
            assert getattr(oracle, field.name) == value
    assert bytes(codec.decode(bytes(request), kind)) == bytes(request)


def request_fields(data: bytes) -> None:
    """A request of a method and a cut that the first bytes choose, against protobuf."""
    method, cut = data[:2].ljust(2, b"\0")
    frame = framed(data[2:])
    compare(_SCANNED[method % len(_SCANNED)], data[2:], (frame[:cut], frame[cut:]))


def stored_credential(data: bytes) -> None:
    """A value in etcd is a record or corrupt; a record can be written again."""
    try:
        record = Record.decode(data)
    except CorruptRecordError:
        return
    with suppress(CorruptRecordError):
        assert record.password.encrypted.reveal() not in repr(record.password)
    record.description.encode()
    assert isinstance(json.loads(record.encode()), dict)


def proxy_header(data: bytes) -> None:
    """A header of the PROXY protocol, nothing yet, or an error; the same however it is cut."""
    outcome: object = None
    for size in range(len(data) + 1):
        outcome = _proxy_header_of(data[:size])
        if outcome is not None:
            break
    assert outcome == _proxy_header_of(data)


def forwarded_for(data: bytes) -> None:
    """An address, or None; nothing that stands before it matters."""
    host = forwarded_host([data], 1)
    assert host is None or host == str(ipaddress.ip_address(host))
    assert forwarded_host([b"192.0.2.1", data], 1) == host


def settings_file(data: bytes) -> None:
    """Settings, or a complaint that names the file and holds no traceback."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vecguard.yaml"
        path.write_bytes(data)
        complaint = path.name
        try:
            load_settings(path, {})
        except ConfigurationError as error:
            complaint = str(error)
        assert path.name in complaint
        assert "Traceback" not in complaint


def pem(data: bytes) -> None:
    """Certificates and keys, or an error that says what is wrong."""
    with suppress(PemError):
        for certificate in certificates.read_certificates(data):
            certificates.facts(certificate)
    with suppress(PemError):
        certificates.read_private_key(data)


TARGETS: dict[str, Target] = {
    "own_services": own_services,
} | {
    target.__name__: target
    for target in (
        authorization,
        grpc_timeout,
        frames_of_a_client,
        frames_of_a_server,
        header_block,
        session_message,
        account_request,
        request_fields,
        stored_credential,
        proxy_header,
        forwarded_for,
        settings_file,
        pem,
    )
}


def _proxy_header_of(data: bytes) -> ProxyHeader | type[ProxyHeaderError] | None:
    try:
        return read_header(data)
    except ProxyHeaderError as error:
        return type(error)


def _connection(*, client_side: bool) -> tuple[Connection, RecordingHandler]:
    handler = RecordingHandler()
    connection = Connection(handler, _LIMITS, client_side=client_side, wake=lambda: None)
    connection.send_preface()
    return connection, handler


def _heard(connection: Connection, handler: RecordingHandler, data: bytes) -> None:
    cut = data[0] if data else 0
    with suppress(Http2ConnectionError):
        connection.receive(bytes(3) + struct.pack(">BBI", 4, 0, 0))
        for part in (data[1 : 1 + cut], data[1 + cut :]):
            connection.receive(part)
    assert not [event for event in handler.events if event[0] == "failed"]
    assert len(connection.streams) <= _LIMITS.concurrent_streams
    connection.abandon()
    assert not connection.streams
