"""Containers that are restarted, killed and paused in the middle of things."""

import time
from collections.abc import Callable, Iterator

import pytest
from pymilvus import MilvusClient

from tests.containers.calls import OK, REFUSED, calling, login, status_of
from tests.containers.conftest import StackMaker
from vecguard.errors import UnavailableError
from vecguard.testing import VecguardStack

_SECONDS = 60.0


@pytest.fixture(scope="module")
def stack(make_stack: StackMaker) -> Iterator[VecguardStack]:
    """Two of each; every test leaves all of them running."""
    with make_stack(proxies=2, root_coords=2) as stack:
        yield stack


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def until_users_can_be_made(stack: VecguardStack) -> None:
    """Changes are answered again, which takes a leader and a proxy that has found it."""

    def one_is_made() -> bool:
        try:
            stack.user()
        except UnavailableError:
            return False
        return True

    until(one_is_made, "no user can be made")


def test_restarted_proxy_accepts_what_it_accepted_before(stack: VecguardStack):
    first, second = stack.proxies
    alice = stack.user()
    changed = stack.change_password(alice)

    first.restart()

    for proxy in (first, second):
        assert login(proxy, changed) is OK
        assert login(proxy, alice) is REFUSED


def test_killed_root_coord_comes_back_and_knows_every_user(make_stack: StackMaker):
    with make_stack(root_coords=1) as stack, calling(stack.proxies[0]) as caller:
        alice = stack.user()
        assert caller.answer(alice) is OK

        stack.root_coords[0].kill()
        # The lease that the proxy holds outlives this.
        assert caller.answer(alice) is OK
        stack.root_coords[0].start_again()
        until_users_can_be_made(stack)

        changed = stack.change_password(alice)
        assert caller.answer(alice) is REFUSED
        assert caller.answer(changed) is OK


def test_standby_takes_over_from_killed_root_coord_unnoticed_by_known_logins(
    stack: VecguardStack,
):
    with calling(stack.proxies[0]) as caller:
        alice = stack.user()
        assert caller.answer(alice) is OK
        killed = stack.active_root_coord()
        killed.kill()
        try:
            answers = []

            def other_is_active() -> bool:
                answers.append(caller.answer(alice))
                return any(each.is_active for each in stack.root_coords if each is not killed)

            until(other_is_active, "the standby does not take over")
            assert set(answers) == {OK}

            until_users_can_be_made(stack)
            changed = stack.change_password(alice)
            assert [login(proxy, alice) for proxy in stack.proxies] == [REFUSED, REFUSED]
            assert [login(proxy, changed) for proxy in stack.proxies] == [OK, OK]
        finally:
            killed.start_again()
        assert not killed.is_active


def test_proxy_that_was_paused_during_a_change_never_accepts_the_old_password(
    stack: VecguardStack,
):
    healthy, paused = stack.proxies
    alice = stack.user()
    with calling(paused) as caller:
        assert caller.answer(alice) is OK
        paused.pause()
        try:
            # It lies in the paused proxy's socket until that can read it.
            early = caller.begin(alice)
            changed = stack.change_password(alice)
            assert login(healthy, alice) is REFUSED
            assert login(healthy, changed) is OK
        finally:
            paused.unpause()

        answers = [status_of(early)]
        until(lambda: login(paused, changed) is OK, "the paused proxy does not recover")
        answers += [caller.answer(alice), login(paused, alice), login(healthy, alice)]

    assert OK not in answers
    assert set(answers[1:]) == {REFUSED}


def test_restarted_backend_keeps_its_data_and_the_proxies_find_it(stack: VecguardStack):
    alice = stack.user(roles=["admin"])
    client = MilvusClient(**stack.client_options(alice))
    client.create_collection("kept", dimension=2)
    client.insert("kept", [{"id": 7, "vector": [0.5, 0.25], "note": "kept"}])
    client.flush("kept")
    client.close()

    assert stack.backend is not None
    stack.backend.restart()
    for proxy in stack.proxies:
        until(lambda proxy=proxy: login(proxy, alice) is OK, "the backend is not found")

    client = MilvusClient(**stack.client_options(alice, proxy=1))
    client.load_collection("kept")
    assert client.query("kept", filter="id == 7", output_fields=["note"])[0]["note"] == "kept"
    client.drop_collection("kept")
    client.close()


def test_restarted_etcd_keeps_users_and_takes_changes(stack: VecguardStack):
    alice = stack.user()

    stack.etcd.restart()
    until_users_can_be_made(stack)

    assert login(stack.proxies[1], alice) is OK
