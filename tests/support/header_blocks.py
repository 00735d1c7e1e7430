"""Header lists to and from our fields and blocks, by way of the `hpack` library."""

from hpack import Decoder, Encoder

from tests.support.policies import limits_with
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder

UNLIMITED = limits_with(header_list_bytes=2**24, header_block_bytes=2**24)


def fields(headers, *, huffman=True):
    """What our decoder makes of the headers, as another encoder sends them."""
    return HeaderDecoder(UNLIMITED).decode(Encoder().encode(list(headers), huffman=huffman))


def headers(block):
    """What another decoder that has seen nothing before makes of a block of ours."""
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]
