"""Small inputs that are nearly right: from them, mutations reach further than from nothing.

Nothing of the project is imported here that is to be instrumented afterwards.
"""

import base64
import struct

from hpack import Encoder

from tests.support.frame_sequences import REQUEST, RESPONSE, frame
from tests.support.proxy_headers import LOCAL, TCP4, TCP6, addresses, v1, v2

BCRYPT = "$2a$10$" + "a" * 21 + "e" + "a" * 30 + "e"
_PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


SEEDS: dict[str, list[bytes]] = {
    "proxy_header": [
        v1("192.0.2.1"),
        b"PROXY UNKNOWN\r\n",
        v2(TCP4, addresses("192.0.2.1") + b"\x04\x00\x01x"),
        v2(TCP6, addresses("2001:db8::7", "::1")),
        v2(0, command=LOCAL),
    ],
    "forwarded_for": [b"192.0.2.1, 10.0.0.1:5", b"[2001:db8::7]:1", b"::ffff:192.0.2.1"],
    "authorization": [base64.b64encode(text) for text in (b"root:Milvus", b"a:b:c", b"key")],
    "grpc_timeout": [b"1S", b"99999999n", b"00000001H"],
    "frames_of_a_client": [
        b"\x20" + frame(1, 5, 1, Encoder().encode(REQUEST)) + frame(6, 0, 0, bytes(8)),
        b"\x05" + frame(1, 4, 1, Encoder().encode(REQUEST)) + frame(0, 1, 1, bytes(5)),
        b"\x09" + frame(4, 0, 0, struct.pack(">HI", 4, 0)) + frame(8, 0, 0, b"\0\0\0\1"),
    ],
    "frames_of_a_server": [
        b"\x09" + frame(1, 4, 1, Encoder().encode(RESPONSE)) + frame(0, 1, 1, b"x"),
        b"\x01" + frame(7, 0, 0, bytes(8)) + frame(3, 0, 1, b"PRI "),
    ],
    "header_block": [b"\x10" + Encoder().encode(REQUEST), b"\x00" + Encoder().encode(RESPONSE)],
    # A renewal, an acknowledgement and an opening.
    "session_message": [
        b"\x12\x02\x08\x07",
        b"\x1a\x03\x08\xac\x02",
        b"\n\x00",
    ],
    # A user to create, a password to change, a user to look for, a cut name and many fields.
    "account_request": [
        b"\x00\x12\x05alice\x1a\x04c2Vj",
        b"\x01\x12\x05alice\x1a\x04b2xk\x22\x04bmV3",
        b"\x04\x12\x07\n\x05alice\x18\x01",
        b"\x02\x12\x05bob",
        b"\x02\x12\x03bob" + b"\x78\x00" * 249,
    ],
    # A collection and its database, two collections, a user with two names, a role.
    "request_fields": [
        b"\x00\x09\x12\x02db\x1a\x04docs",
        b"\x01\x07\x1a\x01a\x1a\x01b",
        b"\x02\x0a\x12\x05\n\x03bob\x12\x03\n\x01a",
        b"\x03\x08\x12\x09\n\x07\n\x05admin",
        b"\x04\x06\x1a\x02db\x22\x01a\x32\x05other",
    ],
    # The health, compressed and not, and cut; a user to create by gzip; a user to look for, with a
    # bomb; many fields.
    "own_services": [
        b"\x00\x00\x00\x00",
        b"\x01\x01\x05\x00\x0a\x01x",
        b"\x00\x00\x00\x00\xff\xff",
        b"\x06\x01\x05\x00" + b"\x78\x00" * 400,
        b"\x03\x01\x05\x00\x12\x05alice\x1a\x04c2Vj",
        b"\x08\x01\x07\x00\x12\x07\n\x05alice\x18\x01",
        b"\x04\x02\x06\x00\x12\x05alice",
        b"\x05\x04\x04\x02" + b"9" * 20 + b"n",
    ],
    "stored_credential": [
        b'{"encrypted_password":"%b","description":"x"}' % BCRYPT.encode(),
        b'{"encrypted_password":5}',
        b'{"username":"\\ud800"}',
    ],
    "settings_file": [b"proxy:\n  port: 1\n", b"proxy: {port: [}", b"a: &a [*a]\n"],
    "pem": [_PEM],
}
