"""What refused and admitted calls make of a connection."""

import pytest

from vecguard.proxy.relay.clients.standing import KNOWN, NEWCOMER, SUSPECT, Standing


def after(refusals, *, admitted=0):
    standing = Standing()
    for _ in range(admitted):
        standing.admitted()
    for _ in range(refusals):
        standing.refused()
    return standing


@pytest.mark.parametrize(
    ("refusals", "rank", "rest_seconds"),
    [(0, NEWCOMER, 0.0), (1, SUSPECT, 0.0), (9, SUSPECT, 0.0), (10, SUSPECT, 0.1)],
)
def test_a_refused_call_costs_a_connection_its_precedence_and_ten_cost_it_rests(
    refusals, rank, rest_seconds
):
    standing = after(refusals)
    assert (standing.rank, standing.rest_seconds) == (rank, rest_seconds)


@pytest.mark.parametrize(
    ("refusals", "window"),
    [(1, 128), (127, 128), (128, 64), (255, 64), (256, 32), (895, 2), (896, 1), (999, 1)],
)
def test_the_window_is_halved_with_every_128_refusals(refusals, window):
    assert after(refusals).window == window


def test_a_newcomer_has_two_calls_in_its_first_turn():
    assert after(0).window == 2


def test_a_thousand_refused_calls_are_full():
    standing = after(999)
    assert not standing.is_full
    standing.refused()
    assert standing.is_full


@pytest.mark.parametrize("refusals", [0, 99, 100, 999])
def test_a_known_one_never_rests_and_is_never_lost_below_a_thousand_in_a_row(refusals):
    standing = after(refusals, admitted=1)
    assert standing.rank == KNOWN
    assert standing.rest_seconds == 0.0
    assert standing.window == 1000
    assert not standing.is_full


def test_an_admitted_call_halves_what_was_refused():
    standing = after(900)
    standing.admitted()
    assert standing.refusals == 450
    assert standing.rank == KNOWN


def test_what_is_forgotten_makes_a_known_one_a_suspect():
    standing = after(1000, admitted=1)
    standing.forget()
    assert not standing.is_known
    assert not standing.is_full
    assert (standing.rank, standing.rest_seconds) == (SUSPECT, 0.1)


def test_what_is_forgiven_leaves_it_its_precedence():
    standing = after(1000, admitted=1)
    standing.forgive()
    assert (standing.rank, standing.refusals) == (KNOWN, 500)


def test_a_right_login_among_many_refused_calls_keeps_the_precedence():
    standing = Standing()
    for _ in range(100):
        standing.admitted()
        for _ in range(49):
            standing.refused()
        assert standing.rank == KNOWN
