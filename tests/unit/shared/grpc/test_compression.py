"""Messages that a gRPC client compresses, or says so."""

import gzip
import random
import time
import traceback
import zlib

import pytest

from vecguard.errors import MalformedMessageError, MessageTooLargeError, VecguardError
from vecguard.grpc.compression import ACCEPTED, UnsupportedEncodingError, plain

LIMIT = 1000
COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_what_is_compressed_is_decompressed(encoding, size):
    data = random.Random(1).randbytes(size)
    assert plain(1, COMPRESS[encoding](data), encoding, LIMIT) == data


@pytest.mark.parametrize("encoding", [None, "identity", "gzip", "deflate", "zstd"])
def test_without_the_flag_nothing_is_compressed_whatever_the_encoding(encoding):
    assert plain(0, b"as it is", encoding, LIMIT) == b"as it is"


def test_every_accepted_encoding_is_one_that_is_understood():
    assert set(ACCEPTED.split(",")) == {"identity", *COMPRESS}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_no_more_is_made_than_allowed(encoding):
    with pytest.raises(MessageTooLargeError):
        plain(1, COMPRESS[encoding](bytes(LIMIT + 1)), encoding, LIMIT)
    bomb = COMPRESS[encoding](bytes(2**28))
    began = time.process_time()
    with pytest.raises(MessageTooLargeError):
        plain(1, bomb, encoding, LIMIT)
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("encoding", ["zstd", "br", "GZIP", "gzip,deflate", "", "\xff", "x" * 9999])
def test_an_unknown_encoding_is_named_by_what_is_accepted(encoding):
    with pytest.raises(UnsupportedEncodingError) as caught:
        plain(1, b"x", encoding, LIMIT)
    assert ACCEPTED in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("encoding", [None, "identity"])
def test_a_flag_without_an_encoding_is_malformed(encoding):
    with pytest.raises(MalformedMessageError):
        plain(1, gzip.compress(b"x"), encoding, LIMIT)


@pytest.mark.parametrize("flag", [2, 128, 255])
def test_another_flag_is_malformed(flag):
    with pytest.raises(MalformedMessageError):
        plain(flag, b"x", "gzip", LIMIT)


WHOLE = {encoding: compress(b"secret" * 20) for encoding, compress in COMPRESS.items()}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_corrupt_bytes_are_malformed_and_never_quoted(encoding):
    whole, other = WHOLE[encoding], WHOLE["gzip" if encoding == "deflate" else "deflate"]
    for corrupt in (b"", b"secret", whole[:-1], whole + b"x", whole * 2, other):
        with pytest.raises(VecguardError) as caught:
            plain(1, corrupt, encoding, LIMIT)
        assert isinstance(caught.value, MalformedMessageError)
        assert "secret" not in "".join(traceback.format_exception(caught.value))
