"""What is known of aliases: for how long, and what it costs the backend."""

import asyncio
from collections import Counter

import pytest

from tests.support.credentials import Gate, ManualClock
from vecguard.errors import UnavailableError
from vecguard.proxy.authentication.admission_queue import QueueLimits
from vecguard.proxy.backend.aliases import Aliases, AliasesUnsupportedError


class Backend:
    """A backend with aliases. An answer is from the moment at which its question came."""

    def __init__(self):
        self.aliases = {("default", "library"): "books"}
        self.gate = Gate()
        self.asked = Counter()
        self.order = []
        self.most = self.running = 0
        self.error = None

    async def collection_of(self, database, alias, authorization):
        self.asked[alias] += 1
        self.order.append(alias)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            found = self.aliases.get((database, alias), "")
            await self.gate.passed()
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1
        return found


@pytest.fixture
def backend():
    return Backend()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def aliases(backend, clock):
    return Aliases(backend, clock=clock)


async def look_up(aliases, *names, user="alice", database="default", authorization=None):
    return await aliases.look_up(user, database, names, authorization)


async def test_an_alias_is_known_for_five_seconds(aliases, backend, clock):
    assert aliases.held("default", ["library"]) is None
    assert await look_up(aliases, "library") == ("books",)
    clock.advance(4.9)
    assert aliases.held("default", ["library"]) == ("books",)
    clock.advance(0.1)
    assert aliases.held("default", ["library"]) is None
    assert await look_up(aliases, "library") == ("books",)
    assert backend.asked == {"library": 2}


async def test_a_name_that_is_no_alias_is_known_as_well(aliases, backend):
    for _ in range(3):
        assert await look_up(aliases, "books", "library") == ("", "books")
    assert aliases.held("default", ["books", "library"]) == ("", "books")
    assert aliases.held("default", ["books", "x"]) is None
    assert backend.asked == {"books": 1, "library": 1}
    assert aliases.counts == {"alias": 1, "no_alias": 1, "failed": 0}


async def test_databases_have_aliases_of_their_own(aliases, backend):
    assert await look_up(aliases, "library") == ("books",)
    assert await look_up(aliases, "library", database="other") == ("",)


async def test_concurrent_look_ups_of_a_name_are_one(aliases, backend):
    backend.gate.close()
    tasks = [asyncio.create_task(look_up(aliases, "library", user=f"u{n}")) for n in range(20)]
    await backend.gate.arrivals()
    backend.gate.open()
    assert set(await asyncio.gather(*tasks)) == {("books",)}
    assert backend.asked == {"library": 1}


async def test_look_ups_with_other_credentials_are_not_shared(aliases, backend):
    backend.gate.close()
    tasks = [
        asyncio.create_task(look_up(aliases, "library", authorization=value)) for value in "ab"
    ]
    await backend.gate.arrivals(2)
    backend.gate.open()
    await asyncio.gather(*tasks)
    assert backend.asked == {"library": 2}


async def test_a_result_from_before_a_change_is_neither_kept_nor_joined(aliases, backend):
    backend.gate.close()
    before = asyncio.create_task(look_up(aliases, "library"))
    await backend.gate.arrivals()
    backend.aliases["default", "library"] = "films"
    aliases.forget()
    after = asyncio.create_task(look_up(aliases, "library"))
    await backend.gate.arrivals(2)
    backend.gate.open()
    assert await before == ("books",)
    assert await after == ("films",)
    assert aliases.held("default", ["library"]) == ("films",)


async def test_a_result_from_before_a_change_is_not_kept_either_if_no_other_follows(
    aliases, backend
):
    backend.gate.close()
    before = asyncio.create_task(look_up(aliases, "library"))
    await backend.gate.arrivals()
    aliases.forget()
    backend.gate.open()
    assert await before == ("books",)
    assert not len(aliases)


async def test_a_change_drops_what_is_known(aliases, backend):
    await look_up(aliases, "library", "x")
    aliases.forget()
    assert not len(aliases)
    assert aliases.held("default", ["library"]) is None


async def test_a_failure_is_no_alias_and_is_not_kept(aliases, backend):
    backend.error = UnavailableError("gone")
    assert await look_up(aliases, "library", "x") == ("", "")
    assert aliases.counts["failed"] == 1
    assert aliases.held("default", ["library"]) is None
    backend.error = None
    assert await look_up(aliases, "library") == ("books",)


async def test_a_backend_without_aliases_is_left_alone_for_a_while(aliases, backend, clock):
    backend.error = AliasesUnsupportedError("no such method")
    assert await look_up(aliases, "library") == ("",)
    assert aliases.held("other", ["x", "y"]) == ("", "")
    assert await look_up(aliases, "x", "y") == ("", "")
    assert backend.asked.total() == 1
    clock.advance(5.0)
    assert aliases.held("default", ["library"]) is None


async def test_a_look_up_without_an_answer_ends(backend, clock):
    aliases = Aliases(backend, clock=clock, timeout_seconds=0.01)
    backend.gate.close()
    async with asyncio.timeout(10):
        assert await look_up(aliases, "library") == ("",)
    assert aliases.counts["failed"] == 1
    await asyncio.sleep(0)
    assert backend.running == 0


async def test_a_flood_of_names_is_looked_up_eight_at_a_time(aliases, backend):
    backend.gate.close()
    tasks = [asyncio.create_task(look_up(aliases, f"n{number}")) for number in range(100)]
    await backend.gate.arrivals(8)
    # Another user is served before the rest of the flood.
    other = asyncio.create_task(look_up(aliases, "library", user="bob"))
    for _ in range(3):
        await asyncio.sleep(0)
    backend.gate.open()
    assert await other == ("books",)
    await asyncio.gather(*tasks)
    assert backend.most == 8
    assert backend.order.index("library") <= 10
    assert aliases.counts["no_alias"] == 100


async def test_a_user_with_too_many_look_ups_harms_no_other(backend, clock):
    limits = QueueLimits(total=100, per_origin=5, timeout_seconds=2.0)
    aliases = Aliases(backend, clock=clock, limits=limits)
    backend.gate.close()
    tasks = [asyncio.create_task(look_up(aliases, f"n{number}")) for number in range(30)]
    await backend.gate.arrivals(8)
    other = asyncio.create_task(look_up(aliases, "library", user="bob"))
    for _ in range(3):
        await asyncio.sleep(0)
    backend.gate.open()
    assert await other == ("books",)
    await asyncio.gather(*tasks)
    assert aliases.counts == {"alias": 1, "no_alias": 13, "failed": 17}


async def test_the_number_of_names_is_bounded(backend, clock):
    aliases = Aliases(backend, clock=clock, max_entries=10)
    await look_up(aliases, *(f"n{number}" for number in range(30)))
    assert len(aliases) == 10


async def test_a_cancelled_look_up_frees_its_place(aliases, backend):
    backend.gate.close()
    tasks = [asyncio.create_task(look_up(aliases, f"n{number}")) for number in range(20)]
    await backend.gate.arrivals(8)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    backend.gate.open()
    assert await look_up(aliases, "library") == ("books",)
    assert backend.running == 0
