"""What the relay writes of a caller is what its own services read, and no client can write it.

That the relay drops what a client sends is tested with the header blocks of calls.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.header_blocks import UNLIMITED
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.identity_headers import (
    Caller,
    authority_field,
    identity_fields,
    is_reserved,
    origin_fields,
    read_caller,
)
from vecguard.proxy.principal import ANONYMOUS, Authority, Principal

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", min_size=1)


def metadata(*fields):
    block = HeaderDecoder(UNLIMITED).decode(b"".join(fields))
    return {field.name.decode(): field.value.decode() for field in block}


@given(NAMES, st.integers(0, 2**63))
def test_what_is_written_is_read(username, revision):
    principal = Principal(username, revision)
    sent = metadata(identity_fields(principal), origin_fields(principal, "192.0.2.7"))
    assert read_caller(sent) == Caller(principal, "192.0.2.7")
    assert all(is_reserved(name.encode()) for name in sent)


@given(st.text(min_size=1), st.integers(0, 2**63))
def test_the_role_that_allows_a_call_is_read_whatever_its_name(role, revision):
    authority = Authority(role, revision)
    field = authority_field(authority)
    assert field.isascii()
    sent = metadata(identity_fields(Principal("alice", 7)), field)
    assert read_caller(sent).principal.authority == authority
    assert all(is_reserved(name.encode()) for name in sent)


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", None])
def test_a_client_has_an_address_or_none(host):
    assert read_caller(metadata(origin_fields(ANONYMOUS, host))) == Caller(ANONYMOUS, host)


def test_without_headers_nothing_is_known_of_the_caller():
    assert read_caller({}) == Caller(ANONYMOUS, None)


def test_a_backend_is_shown_the_user_alone():
    assert metadata(identity_fields(Principal("alice", 7))) == {"x-vecguard-user": "alice"}
    assert identity_fields(ANONYMOUS) == b""


def test_the_database_is_the_one_that_the_client_names_or_milvus_default():
    assert read_caller({"dbname": "books"}).database == "books"
    assert read_caller({"dbname": ""}).database == "default"
    assert read_caller({}).database == "default"


@pytest.mark.parametrize("name", [b"x-vecguardian", b"x_vecguard", b"my-x-vecguard-user"])
def test_names_that_no_upstream_takes_for_ours_are_free(name):
    assert not is_reserved(name)
