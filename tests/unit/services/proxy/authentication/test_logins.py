import pytest

from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.principal import Principal


def logins(key=b"k" * 32, *, max_accepted=10, max_refused=10):
    return Logins(max_accepted=max_accepted, max_refused=max_refused, key=key)


def test_a_digest_depends_on_the_key_of_this_process():
    assert logins(b"a" * 32).digest(b"value") != logins(b"b" * 32).digest(b"value")
    assert logins().digest(b"value") == logins().digest(b"value")


def test_a_digest_shows_nothing_of_the_value():
    assert b"value" not in logins().digest(b"value")
    assert len(logins().digest(b"v" * 1000)) == len(logins().digest(b""))


def test_accepted_and_refused_logins_are_told_apart():
    book = logins()
    book.accept(b"right", Principal("bob", 1))
    book.refuse(b"wrong", Principal("bob", 1))
    assert book.accepted(b"right") == Principal("bob", 1)
    assert book.refused(b"right") is None
    assert book.refused(b"wrong") == Principal("bob", 1)
    assert book.accepted(b"wrong") is None


def test_the_last_judgement_of_a_login_counts():
    book = logins()
    book.accept(b"login", Principal("bob", 1))
    book.refuse(b"login", Principal("bob", 2))
    assert book.accepted(b"login") is None
    assert book.refused(b"login") == Principal("bob", 2)
    book.accept(b"login", Principal("bob", 3))
    assert book.accepted(b"login") == Principal("bob", 3)
    assert book.refused(b"login") is None


def test_a_flood_of_refusals_evicts_no_accepted_login():
    book = logins()
    book.accept(b"right", Principal("bob", 1))
    for number in range(1000):
        book.refuse(b"%d" % number, Principal("bob", 1))
    assert book.accepted(b"right") == Principal("bob", 1)


def test_both_books_are_bounded_and_keep_what_is_used():
    book = logins(max_accepted=2, max_refused=2)
    for number in range(3):
        book.accept(b"%d" % number, Principal("bob", 1))
        book.refuse(b"w%d" % number, Principal("bob", 1))
        book.accepted(b"0")
        book.refused(b"w0")
    assert [book.accepted(b"%d" % number) is not None for number in range(3)] == [True, False, True]
    assert [book.refused(b"w%d" % number) is not None for number in range(3)] == [True, False, True]


@pytest.mark.parametrize("value", [b"", b"\xff" * 10, b"x" * 1_000_000])
def test_any_value_has_a_digest(value):
    assert len(logins().digest(value)) == 16
