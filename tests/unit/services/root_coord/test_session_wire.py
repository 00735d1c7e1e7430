import betterproto
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.root_coord.session_state import (
    FullInvalidation,
    Invalidation,
    Notice,
    PolicyInvalidation,
    Surrender,
)
from vecguard.root_coord.session_wire import (
    Acknowledgement,
    Renewal,
    Unknown,
    decode_request,
    encode_notice,
    encode_opened,
    encode_renewed,
)

numbers = st.integers(min_value=1, max_value=2**63 - 1)


@given(numbers)
def test_a_renewal_is_read_as_betterproto_writes_it(number):
    message = pb.SessionRequest(renew=pb.Renew(number=number))
    assert decode_request(bytes(message)) == Renewal(number)


@given(numbers)
def test_an_acknowledgement_is_read_as_betterproto_writes_it(number):
    message = pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=number))
    assert decode_request(bytes(message)) == Acknowledgement(number)


@given(numbers, numbers)
def test_a_renewed_lease_is_written_as_betterproto_reads_it(number, term):
    kind, content = betterproto.which_one_of(
        pb.SessionReply().parse(encode_renewed(number, term)), "kind"
    )
    assert (kind, content.number, content.term) == ("renewed", number, term)


@given(st.binary(max_size=24))
def test_any_bytes_mean_the_same_as_to_betterproto(data):
    try:
        expected = pb.SessionRequest().parse(data)
    except Exception:  # noqa: BLE001 - whatever betterproto refuses
        return
    found = decode_request(data)
    _, content = betterproto.which_one_of(expected, "kind")
    if isinstance(found, Renewal):
        assert isinstance(content, pb.Renew)
        assert (content.number or 0) == found.number & (2**64 - 1)
    elif isinstance(found, Acknowledgement):
        assert isinstance(content, pb.Acknowledge)
        assert (content.sequence or 0) == found.sequence & (2**64 - 1)
    elif isinstance(found, Unknown):
        assert not isinstance(content, (pb.Open, pb.Renew, pb.Acknowledge, pb.Release))
    else:
        assert found == content


def test_other_messages_take_the_ordinary_way():
    opening = pb.Open(proxy_id="a")
    assert decode_request(bytes(pb.SessionRequest(open=opening))) == opening
    assert isinstance(decode_request(bytes(pb.SessionRequest(release=pb.Release()))), pb.Release)
    assert decode_request(b"") == Unknown()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            Invalidation("bob", 7),
            pb.Invalidate(sequence=3, invalidations=[pb.Invalidation("bob", 7)]),
        ),
        (
            Invalidation("bob", 7, roles_only=True),
            pb.Invalidate(sequence=3, invalidations=[pb.Invalidation("bob", 7, roles_only=True)]),
        ),
        (PolicyInvalidation(7), pb.Invalidate(sequence=3, policy_revision=7)),
        (FullInvalidation(), pb.Invalidate(sequence=3, everything=True)),
        (Surrender(), pb.Surrender(sequence=3)),
    ],
)
def test_a_notice_is_written_as_betterproto_reads_it(content, message):
    reply = pb.SessionReply().parse(encode_notice(Notice(3, content, 0.0)))
    assert betterproto.which_one_of(reply, "kind")[1] == message


def test_an_opened_session_says_what_this_root_coord_can_do():
    data = encode_opened(term=5, ttl_seconds=1.0, renew_interval_seconds=0.5)
    opened = pb.SessionReply().parse(data).opened
    assert opened.judges_actors
    assert opened.serves_roles
