"""What refused and admitted calls make of a connection."""

import pytest

from vecguard.proxy.relay.clients.reputation import KNOWN, SUSPECT, UNKNOWN, Reputation


def after(refusals, *, admitted=0):
    reputation = Reputation()
    for _ in range(admitted):
        reputation.admitted()
    for _ in range(refusals):
        reputation.refused()
    return reputation


@pytest.mark.parametrize(
    ("refusals", "rank", "rest_seconds"),
    [(0, UNKNOWN, 0.0), (1, SUSPECT, 0.0), (9, SUSPECT, 0.0), (10, SUSPECT, 0.1)],
)
def test_a_refused_call_costs_a_connection_its_precedence_and_ten_cost_it_rests(
    refusals, rank, rest_seconds
):
    reputation = after(refusals)
    assert (reputation.rank, reputation.rest_seconds) == (rank, rest_seconds)


@pytest.mark.parametrize(
    ("refusals", "window"),
    [(1, 128), (127, 128), (128, 64), (255, 64), (256, 32), (895, 2), (896, 1), (999, 1)],
)
def test_the_window_is_halved_with_every_128_refusals(refusals, window):
    assert after(refusals).window == window


def test_a_newcomer_has_two_calls_in_its_first_turn():
    assert after(0).window == 2


def test_a_thousand_refused_calls_are_full():
    reputation = after(999)
    assert not reputation.is_full
    reputation.refused()
    assert reputation.is_full


@pytest.mark.parametrize("refusals", [0, 99, 100, 999])
def test_a_known_one_never_rests_and_is_never_lost_below_a_thousand_in_a_row(refusals):
    reputation = after(refusals, admitted=1)
    assert reputation.rank == KNOWN
    assert reputation.rest_seconds == 0.0
    assert reputation.window == 1000
    assert not reputation.is_full


def test_an_admitted_call_halves_what_was_refused():
    reputation = after(900)
    reputation.admitted()
    assert reputation.refusals == 450
    assert reputation.rank == KNOWN


def test_what_is_forgotten_makes_a_known_one_a_suspect():
    reputation = after(1000, admitted=1)
    reputation.forget()
    assert not reputation.is_known
    assert not reputation.is_full
    assert (reputation.rank, reputation.rest_seconds) == (SUSPECT, 0.1)


def test_what_is_forgiven_leaves_it_its_precedence():
    reputation = after(1000, admitted=1)
    reputation.forgive()
    assert (reputation.rank, reputation.refusals) == (KNOWN, 500)


def test_a_right_login_among_many_refused_calls_keeps_the_precedence():
    reputation = Reputation()
    for _ in range(100):
        reputation.admitted()
        for _ in range(49):
            reputation.refused()
        assert reputation.rank == KNOWN
