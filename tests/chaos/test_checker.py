"""The checker itself: what it lets pass, and that it misses nothing."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.checker import Kind, check
from tests.chaos.history import Change, Decision, History, Outcome, Request, Subject

ACKNOWLEDGED, FAILED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.FAILED, Outcome.UNKNOWN


def change(old: int, new: int, sent: float, outcome: Outcome = ACKNOWLEDGED) -> Change:
    return Change("alice", old, new, "proxy-1", sent, sent + 1, sent + 1, outcome)


def request(version: int, sent: float, decision: Decision = Decision.ACCEPTED, **more) -> Request:
    return Request("alice", version, "proxy-1", sent, sent + 0.5, decision, **more)


def kinds(history: History) -> list[Kind]:
    return [violation.kind for violation in check(history)]


def test_an_old_password_accepted_after_the_acknowledgement_is_found():
    history = History([request(0, 11.1)], [change(0, 1, 10)])
    assert kinds(history) == [Kind.ACCEPTED_REVOKED]
    assert check(history)[0].by == history.changes[0]


@pytest.mark.parametrize("sent", [9.0, 10.5, 10.999])
def test_an_old_password_may_pass_when_it_was_sent_before_the_acknowledgement(sent):
    assert not check(History([request(0, sent)], [change(0, 1, 10)]))


def test_the_new_password_may_pass_as_soon_as_its_change_was_sent():
    assert not check(History([request(1, 9.8)], [change(0, 1, 10)]))
    assert kinds(History([request(1, 9.0)], [change(0, 1, 10)])) == [Kind.ACCEPTED_REVOKED]


@pytest.mark.parametrize("outcome", [FAILED, UNKNOWN])
def test_a_change_that_was_not_acknowledged_may_have_happened_at_any_later_time(outcome):
    changes = [change(0, 1, 10, outcome)]
    assert not check(History([request(0, 50), request(1, 51), request(0, 52)], changes))


@pytest.mark.parametrize("outcome", [FAILED, UNKNOWN])
def test_a_later_acknowledged_change_settles_what_was_unknown(outcome):
    changes = [change(0, 1, 10, outcome), change(0, 2, 20)]
    assert kinds(History([request(1, 30)], changes)) == [Kind.ACCEPTED_REVOKED]
    assert kinds(History([request(0, 30)], changes)) == [Kind.ACCEPTED_REVOKED]
    assert not check(History([request(2, 30)], changes))


def test_a_password_that_nobody_ever_set_is_found():
    assert kinds(History([request(7, 30)], [change(0, 1, 10)])) == [Kind.ACCEPTED_UNKNOWN]


def test_a_refusal_of_the_current_password_is_found():
    refused = request(1, 11.5, Decision.REFUSED)
    assert kinds(History([refused], [change(0, 1, 10)])) == [Kind.REFUSED_CURRENT]


def test_a_refusal_is_right_when_the_password_may_have_been_replaced_meanwhile():
    refused = request(1, 11.5, Decision.REFUSED)
    unknown = change(1, 2, 11.8, UNKNOWN)
    assert not check(History([refused], [change(0, 1, 10), unknown]))


def test_a_refusal_is_right_while_the_change_is_not_acknowledged():
    assert not check(History([request(1, 10.5, Decision.REFUSED)], [change(0, 1, 10)]))


def test_a_change_behind_our_back_counts_from_its_bound_on():
    late = replace(change(0, 1, 10), proxy="etcd", effective=20)
    assert not check(History([request(0, 19)], [late]))
    assert kinds(History([request(0, 20.1)], [late])) == [Kind.ACCEPTED_REVOKED]


def test_what_hangs_is_found():
    hung = change(0, 1, 10, Outcome.HUNG)
    assert kinds(History([request(0, 30, Decision.HUNG)], [hung])) == [Kind.HUNG, Kind.HUNG]


def test_no_answer_is_no_wrong_answer():
    assert not check(History([request(1, 30, Decision.UNAVAILABLE)], [change(0, 1, 10)]))


def test_a_lost_change_is_found_at_the_end():
    end = [
        request(1, 30, Decision.REFUSED, final=True),
        request(0, 31, Decision.REFUSED, final=True),
    ]
    assert Kind.LOST in kinds(History(end, [change(0, 1, 10)]))


def test_proxies_that_disagree_at_the_end_are_found():
    unknown = [change(0, 1, 10, UNKNOWN)]
    end = [request(0, 30, final=True), replace(request(1, 31, final=True), proxy="proxy-2")]
    assert kinds(History(end, unknown)) == [Kind.DISAGREEMENT]


def test_an_end_that_cannot_be_seen_is_no_good_end():
    end = [request(1, 30, Decision.UNAVAILABLE, final=True)]
    assert kinds(History(end, [change(0, 1, 10)])) == [Kind.UNDECIDED]


def test_overlapping_changes_of_one_user_are_no_history():
    with pytest.raises(ValueError, match="overlap"):
        check(History([], [change(0, 1, 10), change(1, 2, 10.5)]))


def turn(new: int, sent: float, outcome: Outcome = ACKNOWLEDGED) -> Change:
    """A change of a permission; odd versions allow."""
    return replace(change(new - 1, new, sent, outcome), subject=Subject.GRANT)


def search(sent: float, decision: Decision, **more) -> Request:
    return request(0, sent, decision, subject=Subject.GRANT, **more)


ALLOWED, FORBIDDEN = Decision.ACCEPTED, Decision.FORBIDDEN


def test_a_call_allowed_after_the_acknowledged_revocation_is_found():
    history = History([search(21.1, ALLOWED)], [turn(1, 10), turn(2, 20)])
    assert kinds(history) == [Kind.ALLOWED_REVOKED]
    assert check(history)[0].by == history.changes[1]


def test_a_call_refused_after_the_acknowledged_grant_is_found():
    assert kinds(History([search(11.1, FORBIDDEN)], [turn(1, 10)])) == [Kind.REFUSED_GRANTED]


def test_a_call_allowed_before_any_grant_is_found():
    assert kinds(History([search(8, ALLOWED)], [turn(1, 10)])) == [Kind.ALLOWED_REVOKED]


@pytest.mark.parametrize("decision", [ALLOWED, FORBIDDEN])
@pytest.mark.parametrize("sent", [9.8, 10.5])
def test_a_call_while_a_permission_changes_may_be_decided_either_way(sent, decision):
    assert not check(History([search(sent, decision)], [turn(1, 10)]))


@pytest.mark.parametrize("decision", [ALLOWED, FORBIDDEN])
def test_a_permission_is_unknown_after_a_change_with_an_unknown_outcome(decision):
    assert not check(History([search(50, decision)], [turn(1, 10), turn(2, 20, UNKNOWN)]))


def test_a_change_that_a_proxy_has_not_made_is_never_made():
    history = History([search(30, ALLOWED)], [turn(1, 10, Outcome.NOT_MADE)])
    assert kinds(history) == [Kind.ALLOWED_REVOKED]
    password = History([request(1, 30)], [change(0, 1, 10, Outcome.NOT_MADE)])
    assert kinds(password) == [Kind.ACCEPTED_REVOKED]


def test_no_change_may_follow_one_of_a_permission_that_was_not_acknowledged():
    with pytest.raises(ValueError, match="may follow"):
        check(History([], [turn(1, 10, UNKNOWN), turn(2, 20)]))


def test_a_right_password_that_is_refused_is_found_where_a_permission_is_tried():
    assert kinds(History([search(30, Decision.REFUSED)], [])) == [Kind.REFUSED_CURRENT]


def test_a_login_that_needs_no_permission_and_is_forbidden_is_found():
    assert kinds(History([request(0, 30, FORBIDDEN)], [])) == [Kind.REFUSED_GRANTED]


def test_a_search_that_hangs_is_found():
    assert kinds(History([search(30, Decision.HUNG)], [])) == [Kind.HUNG]


def test_proxies_that_disagree_about_a_permission_at_the_end_are_found():
    end = [
        search(30, ALLOWED, final=True),
        replace(search(31, FORBIDDEN, final=True), proxy="proxy-2"),
    ]
    assert kinds(History(end, [turn(1, 10, UNKNOWN)])) == [Kind.DISAGREEMENT]


def test_acknowledged_changes_are_counted_by_what_they_change():
    outside = replace(turn(1, 10), proxy="etcd", user="bob")
    history = History([], [change(0, 1, 10), turn(1, 10), turn(2, 20, UNKNOWN), outside])
    assert history.acknowledged() == {Subject.PASSWORD: 1, Subject.GRANT: 1}


def simulated(random: Random, *, stale_proxy: bool) -> tuple[History, bool]:
    """A history of a correct system, and whether a stale answer was slipped in.

    Each change takes effect at one moment: acknowledged ones between sending and answer,
    others whenever they like until the next one, or never. Each request is decided by what
    is in force at one moment between sending and answer.
    """
    history, moments, now, current = History(), [(0.0, 0)], 0.0, 0
    for new in range(1, random.randint(2, 12)):
        sent = now + random.uniform(0.1, 3)
        answered = sent + random.uniform(0.01, 2)
        outcome = random.choice([ACKNOWLEDGED, ACKNOWLEDGED, FAILED, UNKNOWN])
        now = answered + random.uniform(0.1, 3)
        history.changes.append(
            Change("alice", current, new, "proxy-1", sent, answered, answered, outcome)
        )
        if outcome is ACKNOWLEDGED:
            moments.append((random.uniform(sent, answered), new))
            current = new
        elif random.random() < 0.5:
            moments.append((random.uniform(sent, now), new))
            current = new
    end = now + 5

    def in_force(moment: float) -> int:
        return max(each for each in moments if each[0] <= moment)[1]

    for _ in range(60):
        sent = random.uniform(0, end)
        answered = sent + random.uniform(0, 1)
        version = random.choice([in_force(sent), in_force(answered), random.randint(0, new)])
        right = in_force(random.uniform(sent, answered)) == version
        decision = Decision.ACCEPTED if right else Decision.REFUSED
        history.requests.append(Request("alice", version, "proxy-1", sent, answered, decision))
    settled = [each for each in history.changes if each.outcome is ACKNOWLEDGED]
    if not (stale_proxy and settled):
        return history, False
    by = random.choice(settled)
    history.requests.append(
        replace(request(by.old, by.answered + random.uniform(0.001, 1)), answered=end)
    )
    return history, True


@given(st.randoms(use_true_random=False))
def test_a_correct_system_is_never_accused(random):
    history, _ = simulated(random, stale_proxy=False)
    assert not check(history)


@given(st.randoms(use_true_random=False))
def test_one_stale_answer_is_always_found(random):
    history, stale = simulated(random, stale_proxy=True)
    expected = [Kind.ACCEPTED_REVOKED] if stale else []
    assert kinds(history) == expected


def test_a_history_is_kept_in_the_order_of_sending(tmp_path):
    history = History([request(0, 12), request(0, 9)], [change(0, 1, 10)])
    history.write(tmp_path / "new" / "history.jsonl")
    lines = (tmp_path / "new" / "history.jsonl").read_text().splitlines()
    assert ['"kind": "change"' in line for line in lines] == [False, True, False]
