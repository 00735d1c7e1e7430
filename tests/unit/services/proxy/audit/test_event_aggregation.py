from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.audit.event_aggregation import Counted, EventAggregator, Refusal, Scope

BOB = Refusal("bob", "192.0.2.1", "wrong_credentials")


def counter(max_groups=10):
    return EventAggregator(window_seconds=60, max_groups=max_groups)


def test_the_first_refusal_is_told_at_once_and_a_lone_one_only_then():
    storms = counter()
    assert storms.record(BOB, 100.0) == Counted(BOB, Scope.USER, 1, 100.0, 100.0)
    assert list(storms.expired(161.0)) == []
    assert len(storms) == 0
    assert storms.record(BOB, 162.0) is not None


def test_a_storm_is_one_line_in_a_window():
    storms = counter()
    storms.record(BOB, 100.0)
    assert [storms.record(BOB, 101.0 + each / 1000) for each in range(1000)] == [None] * 1000
    assert list(storms.expired(159.9)) == []
    assert list(storms.expired(160.0)) == [Counted(BOB, Scope.USER, 1000, 101.0, 101.999)]
    storms.record(BOB, 170.0)
    assert list(storms.expired(219.9)) == []
    assert list(storms.expired(220.0)) == [Counted(BOB, Scope.USER, 1, 170.0, 170.0)]
    assert list(storms.expired(280.0)) == []
    assert len(storms) == 0


def test_refusals_that_differ_in_user_address_or_reason_are_told_apart():
    storms = counter()
    for other in (
        BOB,
        Refusal("eve", "192.0.2.1", "wrong_credentials"),
        Refusal("bob", "192.0.2.2", "wrong_credentials"),
        Refusal("bob", "192.0.2.1", "login_limited"),
    ):
        assert storms.record(other, 100.0).event == other


def test_too_many_names_are_counted_by_address_and_too_many_addresses_together():
    storms = counter(max_groups=1)
    storms.record(BOB, 100.0)
    by_address = storms.record(Refusal("eve", "192.0.2.1", "wrong_credentials"), 100.0)
    assert by_address.scope is Scope.ADDRESS
    assert by_address.event == Refusal(None, "192.0.2.1", "wrong_credentials")
    together = storms.record(Refusal("eve", "192.0.2.2", "wrong_credentials"), 100.0)
    assert together.scope is Scope.ALL
    assert together.event == Refusal(None, None, "wrong_credentials")
    assert storms.record(Refusal("joe", "192.0.2.3", "wrong_credentials"), 100.0) is None
    # When the windows are over, names are distinguished again.
    list(storms.expired(160.0))
    assert (
        storms.record(Refusal("eve", "192.0.2.1", "wrong_credentials"), 161.0).scope is Scope.USER
    )


def test_a_clock_that_is_set_back_does_not_keep_counts_for_ever():
    storms = counter()
    storms.record(BOB, 10_000.0)
    storms.record(BOB, 10_001.0)
    assert [each.count for each in storms.expired(5.0)] == [1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", None]),
            st.sampled_from(["1", "2", "3", None]),
            st.sampled_from(["wrong", "limited"]),
            st.floats(0, 50),
        ),
        max_size=100,
    ),
    st.integers(1, 4),
)
def test_every_refusal_is_counted_once_in_bounded_memory(refusals, max_groups):
    storms, now, told = counter(max_groups), 0.0, []
    for user, address, reason, pause in refusals:
        now += pause
        told += list(storms.expired(now))
        first = storms.record(Refusal(user, address, reason), now)
        told += [first] if first else []
        assert len(storms) <= 2 * max_groups + 2
    told += list(storms.rest(now))
    assert sum(each.count for each in told) == len(refusals)
