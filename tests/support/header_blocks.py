"""Converts between header lists and our fields and blocks, with the `hpack` library."""

from hpack import Decoder, Encoder

from tests.support.policies import limits_with
from tests.support.raw_http2 import request_headers
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.relay.calls.headers import RequestHead

UNLIMITED = limits_with(header_list_bytes=2**24, header_block_bytes=2**24)


def fields(headers, *, huffman=True):
    """Returns the fields that our decoder reads from another encoder's block of these headers."""
    return HeaderDecoder(UNLIMITED).decode(Encoder().encode(list(headers), huffman=huffman))


def headers(block):
    """Returns the headers that a new decoder of another library reads from our block."""
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]


def request_head(path, *more):
    """Returns the head of a gRPC request for this path, with more headers."""
    return RequestHead(fields(request_headers(path, *more)))
