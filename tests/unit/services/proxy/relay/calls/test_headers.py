import re

import pytest
from grpclib.metadata import decode_grpc_message
from hpack import Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st
from pymilvus.decorators import IGNORE_RETRY_CODES

from tests.support.header_blocks import UNLIMITED, fields
from tests.support.header_blocks import headers as headers_of
from vecguard.errors import MessageTooLargeError, OverloadedError, Status, VecguardError
from vecguard.proxy.authentication.errors import LoginLimitedError
from vecguard.proxy.health.watch_limit import too_many_watchers
from vecguard.proxy.http2.hpack.fields import literal
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.identity_headers import identity_fields
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.answers import answer, trailers
from vecguard.proxy.relay.calls.headers import RequestHead, check_trailers, is_grpc
from vecguard.proxy.relay.calls.refusals import error_trailers, refusal
from vecguard.proxy.relay.calls.timeouts import encode
from vecguard.proxy.relay.errors import (
    HeadersTooLargeError,
    InvalidTimeoutError,
    MalformedAnswerError,
    MalformedCallError,
    MalformedRequestError,
    TooMuchBufferedError,
    UpstreamProtocolError,
)
from vecguard.proxy.relay.upstreams.header_policy import (
    HeaderPolicy,
    authority_field,
    request_preface,
)

BASE = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":path", b"/a.B/C"),
    (b":authority", b"client.example"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]
UNIT_SECONDS = {b"H": 3600, b"M": 60, b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
NAMES = st.from_regex(re.compile(rb"[a-z0-9_.-]{1,30}"), fullmatch=True)
CONTROL = re.compile(rb"[\0-\x08\n-\x1f\x7f]")
VALUES = st.binary(max_size=40).filter(
    lambda value: value == value.strip(b" \t") and not CONTROL.search(value)
)
# All that a name may hold beside letters and digits (RFC 9110, section 5.6.2).
MARKS = st.sampled_from([bytes((mark,)) for mark in b"!#$%&'*+-.^_`|~"])
OWN = st.tuples(MARKS, MARKS, st.binary(max_size=10)).map(
    lambda parts: b"x%bvecguard%b" % parts[:2] + parts[2].hex().encode()
)
_OWN_NAME = re.compile(rb"x[^0-9a-z]vecguard[^0-9a-z]").match
# What the relay writes anew, or reads as something else than a header to pass on.
TREATED = {
    b"connection",
    b"grpc-timeout",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"authorization",
    b"content-length",
}
PASSING = st.lists(
    st.tuples(
        NAMES.filter(lambda name: name not in TREATED and not _OWN_NAME(name)),
        VALUES,
    ),
    max_size=12,
)


def read(headers):
    return RequestHead(fields(headers))


def forwarded(headers, policy=None, identity=b"", remaining=None):
    block = read(headers).forwarded(
        policy or HeaderPolicy(),
        preface=request_preface(b"http"),
        authority=authority_field("backend:1"),
        identity=identity,
        remaining_seconds=remaining,
    )
    return headers_of(block)


@given(PASSING)
def test_metadata_is_forwarded_unchanged_and_in_order(metadata):
    assert forwarded([*BASE, *metadata]) == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/a.B/C"),
        (b":authority", b"backend:1"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *metadata,
    ]


@given(PASSING, st.lists(st.tuples(OWN, VALUES)), st.randoms(use_true_random=False))
def test_what_a_client_says_in_the_relay_s_name_is_dropped(metadata, own, random):
    mixed = [*metadata, *own]
    random.shuffle(mixed)
    result = forwarded([*BASE, *mixed], identity=identity_fields(Principal("alice", 7)))
    assert [header for header in result if _OWN_NAME(header[0])] == [(b"x-vecguard-user", b"alice")]


@pytest.mark.parametrize(
    "name",
    [
        b"x-vecguard-user",
        b"x_vecguard_user",
        b"x-vecguard_user",
        b"x_vecguard-user",
        b"x.vecguard.user",
        b"x~vecguard+user",
        b"x_vecguard_peer",
        b"x.vecguard-anything.else",
        b"x_vecguard_",
    ],
)
def test_no_spelling_of_what_the_relay_says_passes(name):
    assert name not in dict(forwarded([*BASE, (name, b"root")]))


@pytest.mark.parametrize(
    "name",
    [b"x-vecguardian", b"x_vecguard", b"vecguard_user", b"my-x-vecguard-user", b"xvecguarduser"],
)
def test_names_that_only_resemble_it_pass(name):
    assert dict(forwarded([*BASE, (name, b"mine")]))[name] == b"mine"


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=6))
def test_whatever_is_read_can_be_sent(headers):
    """Any bytes at all: either refused, or nothing in the result breaks HTTP/2's rules."""
    try:
        result = forwarded([*BASE, *headers])
    except (MalformedCallError, MalformedRequestError, InvalidTimeoutError):
        return
    for name, value in result:
        assert name == name.lower()
        assert re.fullmatch(rb":?[!-9;-~]+", name)
        assert not CONTROL.search(value)
        assert value == value.strip(b" \t")
    names = [name for name, _ in result]
    assert sorted(name for name in names if name.startswith(b":")) == [
        b":authority",
        b":method",
        b":path",
        b":scheme",
    ]
    assert not any(_OWN_NAME(name) for name in names)
    assert b"authorization" not in names
    assert names.count(b"te") == 1


@pytest.mark.parametrize(
    "name",
    [
        b"X-Vecguard-User",
        b"x-vecguard-User",
        b"Authorization",
        b"",
        b"a b",
        b"a:b",
        b"\xe9",
        b"a\0",
    ],
)
def test_a_name_that_another_server_could_read_differently_is_refused(name):
    with pytest.raises(MalformedRequestError):
        read([*BASE, (name, b"x")])


@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"a\0b", b"\n", b"\x01", b"a\x7f"])
def test_a_value_with_a_control_character_is_refused(value):
    with pytest.raises(MalformedRequestError):
        read([*BASE, (b"k", value)])


@pytest.mark.parametrize("name", [name for name, _ in BASE if name.startswith(b":")])
def test_a_pseudo_header_may_not_come_twice(name):
    with pytest.raises(MalformedRequestError):
        read([(name, b"/other"), *BASE])


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path"])
def test_8_3_1_a_request_without_one_of_its_pseudo_headers_is_malformed(name):
    with pytest.raises(MalformedRequestError):
        read([header for header in BASE if header[0] != name])


@pytest.mark.parametrize(
    "header",
    [
        (b"connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"te", b"trailers, gzip"),
        (b"te", b""),
    ],
)
def test_8_2_2_a_connection_specific_header_makes_a_request_malformed(header):
    with pytest.raises(MalformedRequestError):
        read([*BASE, header])


@pytest.mark.parametrize(
    "header",
    [(b":status", b"200"), (b"Upper", b"1"), (b"k", b"a\nb"), (b"connection", b"close")],
)
def test_8_1_trailers_of_a_request_that_are_malformed_are_refused(header):
    check_trailers(fields([(b"k", b"v")]))
    with pytest.raises(MalformedRequestError):
        check_trailers(fields([header]))


def test_trailers_over_the_limit_are_refused_as_such():
    with pytest.raises(HeadersTooLargeError, match="the trailers are too large"):
        check_trailers(None)


@pytest.mark.parametrize("values", [[b"5"], [b"5", b"5"], [b"005"]])
def test_content_length_is_read_and_not_passed_on(values):
    headers = [*BASE, *[(b"content-length", value) for value in values]]
    assert read(headers).length == 5
    assert b"content-length" not in dict(forwarded(headers))


@pytest.mark.parametrize(
    "values", [[b""], [b"-1"], [b"5x"], [b"5", b"6"], [b"5, 5"], [b"9" * 5000], [b"\xd9\xa5"]]
)
def test_8_1_1_a_content_length_that_is_none_makes_a_request_malformed(values):
    with pytest.raises(MalformedRequestError):
        read([*BASE, *[(b"content-length", value) for value in values]])


def test_all_authorization_values_are_read_and_none_is_forwarded():
    headers = [*BASE, (b"authorization", b"1"), (b"k", b"v"), (b"authorization", b" 2 ")]
    assert read(headers).authorization == [b"1", b"2"]
    assert b"authorization" not in dict(forwarded(headers))
    shown = forwarded(headers, HeaderPolicy(authorization=True))
    assert [value for name, value in shown if name == b"authorization"] == [b"1", b"2"]


def test_an_upstream_with_a_list_sees_only_that():
    policy = HeaderPolicy(only=frozenset((b"content-type", b"dbname")))
    result = forwarded([*BASE, (b"dbname", b"d"), (b"k", b"v"), (b"authorization", b"x")], policy)
    assert result[5:] == [(b"content-type", b"application/grpc"), (b"dbname", b"d")]


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;x=1", True),
        (b"application/grpc-web", False),
        (b"application/grpcx", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_grpc_s_media_type_is_told_from_its_neighbours(content_type, taken):
    assert is_grpc(content_type) is taken


@given(st.integers(0, 99_999_999), st.sampled_from(sorted(UNIT_SECONDS)))
def test_a_timeout_is_read_in_every_unit(value, unit):
    head = read([*BASE, (b"grpc-timeout", str(value).encode() + unit)])
    assert head.timeout_seconds == pytest.approx(value * UNIT_SECONDS[unit])


def test_of_several_timeouts_the_shortest_counts():
    headers = [*BASE, (b"grpc-timeout", b"5S"), (b"grpc-timeout", b"2S")]
    assert read(headers).timeout_seconds == 2


def test_without_a_timeout_there_is_none():
    assert read(BASE).timeout_seconds is None
    assert b"grpc-timeout" not in dict(forwarded(BASE))


@given(
    st.binary(max_size=12).filter(lambda v: not re.fullmatch(rb"[ \t]*\d{1,8}[HMSmun][ \t]*", v))
)
def test_anything_else_is_no_timeout(value):
    with pytest.raises((InvalidTimeoutError, MalformedRequestError)):
        read([*BASE, (b"grpc-timeout", value)])


@given(st.floats(-1, 3.6e11))
def test_a_written_timeout_is_legal_never_longer_and_hardly_shorter(seconds):
    written = encode(seconds)
    assert re.fullmatch(rb"\d{1,8}[HMSmun]", written)
    value = int(written[:-1]) * UNIT_SECONDS[written[-1:]]
    seconds = max(0.0, seconds)
    assert value <= seconds * (1 + 1e-9)
    # The first digits are kept; beyond 99,999,999 s only whole hours can be written.
    assert value >= min(seconds * 0.999 - 1e-9, 99_999_999 * 3600) - (
        3600 if seconds > 99_999_999 else 0
    )


@given(PASSING)
def test_an_answer_passes_unchanged(metadata):
    headers = [(b":status", b"200"), *metadata]
    assert headers_of(answer(fields(headers), "backend").block) == headers
    assert headers_of(trailers(fields(metadata), "backend").block) == metadata


def test_an_answer_loses_what_means_nothing_to_the_client():
    headers = [(b"te", b"x"), (b"host", b"x"), (b"content-length", b"7"), (b"k", b" v ")]
    left = [(b"k", b"v")]
    status = (b":status", b"200")
    assert headers_of(answer(fields([status, *headers]), "backend").block) == [status, *left]
    assert headers_of(trailers(fields(headers), "backend").block) == left


@pytest.mark.parametrize(
    "header",
    [
        (b"Upper", b"1"),
        (b"", b"1"),
        (b"k", b"a\nb"),
        (b"k", b"\0"),
        (b":path", b"/"),
        (b":foreign", b"/"),
        (b":status", b"200"),
        (b"connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
    ],
)
def test_8_1_1_an_answer_that_is_malformed_is_refused(header):
    with pytest.raises(MalformedAnswerError):
        answer(fields([(b":status", b"200"), header]), "backend")
    with pytest.raises(MalformedAnswerError):
        trailers(fields([header]), "backend")


@pytest.mark.parametrize("headers", [[], [(b"k", b"v")], [(b"k", b"v"), (b":status", b"200")],
                                     [(b":status", b"101")]])  # fmt: skip
def test_8_3_2_an_answer_begins_with_its_status(headers):
    with pytest.raises(MalformedAnswerError):
        answer(fields(headers), "backend")


def test_a_web_page_is_no_malformed_answer():
    with pytest.raises(UpstreamProtocolError) as caught:
        answer(fields([(b":status", b"404"), (b"content-type", b"text/html")]), "backend")
    assert not isinstance(caught.value, MalformedAnswerError)


@pytest.mark.parametrize(
    ("headers", "is_interim", "status"),
    [
        ([(b":status", b"103")], True, None),
        ([(b":status", b"200")], False, None),
        ([(b":status", b"200"), (b"grpc-status", b"0")], False, b"0"),
    ],
)
def test_interim_and_final_answers_are_told_apart(headers, is_interim, status):
    begun = answer(fields(headers), "backend")
    assert (begun.is_interim, begun.status) == (is_interim, status)


@given(st.text(max_size=60))
def test_an_error_s_text_survives_the_wire(text):
    trailers = dict(headers_of(error_trailers(OverloadedError(text))))
    assert trailers[b"grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value).encode()
    assert re.fullmatch(rb"[ -~]*", trailers[b"grpc-message"])
    assert decode_grpc_message(trailers[b"grpc-message"].decode()) == text


def test_a_refusal_is_trailers_only_with_the_http_status_of_its_kind():
    assert headers_of(refusal(VecguardError("no")))[:2] == [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
    ]
    assert headers_of(refusal(MalformedCallError(415, "no")))[0] == (b":status", b"415")


def test_headers_over_the_limit_are_refused_as_such():
    with pytest.raises(HeadersTooLargeError) as caught:
        RequestHead(None)
    # grpc-go ignores the gRPC status where HTTP's is another.
    assert headers_of(refusal(caught.value))[0] == (b":status", b"200")


@pytest.mark.parametrize("read_block", [answer, trailers])
def test_an_answer_s_block_over_the_limit_is_refused_as_such(read_block):
    with pytest.raises(HeadersTooLargeError, match="backend answered with headers that are too"):
        read_block(None, "backend")


@pytest.mark.parametrize(
    "error",
    [
        HeadersTooLargeError("x"),
        MessageTooLargeError(2, 1),
        MessageTooLargeError(None, 1),
        TooMuchBufferedError(),
        OverloadedError("too many calls wait"),
        LoginLimitedError(1.0),
        too_many_watchers(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_limit_is_told_by_a_status_that_pymilvus_repeats(error):
    assert error.status.value in {code.value[0] for code in IGNORE_RETRY_CODES}
    assert dict(headers_of(refusal(error)))[b":status"] == b"200"


def test_a_pseudo_header_after_others_is_refused():
    for late in range(1, len(BASE) + 1):
        headers = [*BASE[1:late], BASE[0], *BASE[late:]]
        if late <= 4:
            read(headers)
            continue
        with pytest.raises(MalformedRequestError):
            read(headers)


def test_forwarded_credentials_may_be_put_into_no_table():
    block = read([*BASE, (b"authorization", b"secret")]).forwarded(
        HeaderPolicy(authorization=True),
        preface=b"",
        authority=b"",
        identity=b"",
        remaining_seconds=None,
    )
    assert literal(b"authorization", b"secret", secret=True) in block
    assert literal(b"authorization", b"secret", secret=True)[0] & 0xF0 == 0x10


LISTS = st.lists(
    st.sampled_from(
        [
            (b"authorization", b"1"),
            (b"authorization", b"2"),
            (b"grpc-timeout", b"5S"),
            (b"content-length", b"7"),
            (b"k", b"v"),
            (b"k", b"w"),
        ]
    ),
    max_size=4,
)


def heard(block):
    head = RequestHead(block)
    sent = head.forwarded(
        HeaderPolicy(), preface=b"", authority=b"", identity=b"", remaining_seconds=None
    )
    return (
        head.path.value,
        head.authorization,
        head.timeout_seconds,
        head.length,
        headers_of(sent),
    )


@given(st.lists(st.tuples(st.sampled_from([b"/a/B", b"/a/C"]), LISTS, st.booleans()), max_size=12))
def test_no_request_is_heard_to_say_what_another_of_its_connection_said(requests):
    """Whatever is remembered of earlier blocks, each means what it means alone."""
    encoder, decoder = Encoder(), HeaderDecoder(UNLIMITED)
    for path, more, is_indexed in requests:
        headers = [*BASE[:2], (b":path", path), *BASE[3:], *more]
        block = encoder.encode(
            [
                header if is_indexed or header in BASE else NeverIndexedHeaderTuple(*header)
                for header in headers
            ],
            huffman=False,
        )
        assert heard(decoder.decode(block)) == heard(fields(headers, huffman=False))
