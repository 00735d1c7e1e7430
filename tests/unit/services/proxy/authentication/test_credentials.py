import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.credentials import Gate, ManualClock, ScriptedSource, hashed
from vecguard.errors import UnavailableError
from vecguard.proxy.authentication.credentials import Credential, CredentialCache


def held_by(cache):
    """Returns the cached users with their revisions."""
    return [(record.username, record.revision) for record in cache.held()]


class Cached:
    def __init__(self, *, max_known=100, max_unknown=100):
        self.clock = ManualClock()
        self.source = ScriptedSource()
        self.cache = CredentialCache(
            self.source,
            ttl_seconds=60,
            max_known=max_known,
            max_unknown=max_unknown,
            refresh_interval_seconds=1,
            clock=self.clock,
        )

    def fetching(self, username="bob"):
        return asyncio.create_task(self.cache.get(username))


@pytest.fixture
async def cached():
    cached = Cached()
    cached.source.put("bob", "first1")
    return cached


async def test_a_fetched_credential_is_served_from_memory(cached):
    first = await cached.cache.get("bob")
    assert await cached.cache.get("bob") is first
    assert cached.source.fetches["bob"] == 1


async def test_what_is_held_is_as_old_as_the_ttl_at_most(cached):
    await cached.cache.get("bob")
    cached.clock.advance(59.9)
    assert cached.cache.peek("bob") is not None
    cached.clock.advance(0.1)
    assert cached.cache.peek("bob") is None
    await cached.cache.get("bob")
    assert cached.source.fetches["bob"] == 2


async def test_concurrent_misses_are_one_fetch(cached):
    cached.source.gate.close()
    callers = [cached.fetching() for _ in range(10)]
    await cached.source.gate.arrivals()
    cached.source.gate.open()
    assert len(set(map(id, await asyncio.gather(*callers)))) == 1
    assert cached.source.fetches["bob"] == 1


async def test_users_are_fetched_beside_each_other(cached):
    cached.source.gate.close()
    callers = [cached.fetching("bob"), cached.fetching("eve")]
    await cached.source.gate.arrivals(2)
    cached.source.gate.open()
    await asyncio.gather(*callers)


async def test_an_invalidation_drops_what_was_read_before(cached):
    await cached.cache.get("bob")
    revision = cached.source.put("bob", "second2")
    cached.cache.invalidate("bob", revision)
    assert cached.cache.peek("bob") is None
    assert (await cached.cache.get("bob")).revision == revision


async def test_an_invalidation_leaves_what_was_read_since(cached):
    revision = cached.source.put("bob", "second2")
    held = await cached.cache.get("bob")
    cached.cache.invalidate("bob", revision)
    assert cached.cache.peek("bob") is held


async def test_an_invalidation_of_one_user_leaves_the_others(cached):
    cached.source.put("eve", "first1")
    await cached.cache.get("bob")
    await cached.cache.get("eve")
    cached.cache.invalidate("bob", cached.source.put("bob", "second2"))
    assert cached.cache.peek("eve") is not None


async def test_a_fetch_that_began_before_an_invalidation_is_made_again(cached):
    cached.source.gate.close()
    caller = cached.fetching()
    await cached.source.gate.arrivals()
    revision = cached.source.put("bob", "second2")
    cached.cache.invalidate("bob", revision)
    cached.source.gate.open()
    assert (await caller).revision == revision
    assert cached.cache.peek("bob").revision == revision
    assert cached.source.fetches["bob"] == 2


async def test_an_older_invalidation_does_not_lower_the_floor_of_a_newer_one(cached):
    cached.source.gate.close()
    caller = cached.fetching()
    await cached.source.gate.arrivals()
    # The answer on its way was read at a revision between the two.
    older = cached.source.revision
    newer = cached.source.put("bob", "third3")
    cached.cache.invalidate("bob", newer)
    cached.cache.invalidate("bob", older)
    cached.source.gate.open()
    assert (await caller).revision == newer


async def test_a_fetch_that_began_after_the_change_is_made_once(cached):
    revision = cached.source.put("bob", "second2")
    cached.source.gate.close()
    caller = cached.fetching()
    await cached.source.gate.arrivals()
    cached.cache.invalidate("bob", revision)
    cached.source.gate.open()
    assert (await caller).revision == revision
    assert cached.source.fetches["bob"] == 1


@pytest.mark.parametrize("has_answer", [False, True])
async def test_the_floor_holds_for_whoever_takes_over_an_abandoned_fetch(cached, has_answer):
    """A fetch that ends slowly after its cancellation must not lower its successor's guard."""
    earlier = await cached.source.fetch("bob")
    leaving = Gate()
    leaving.close()
    fetch = cached.source.fetch

    async def fetch_that_leaves_slowly(username):
        try:
            return await fetch(username)
        except asyncio.CancelledError:
            await leaving.passed()
            if has_answer:
                return earlier
            raise

    cached.source.fetch = fetch_that_leaves_slowly
    cached.source.gate.close()
    abandoned = cached.fetching()
    await cached.source.gate.arrivals()
    abandoned.cancel()
    await asyncio.wait([abandoned])
    await leaving.arrivals()

    successor = cached.fetching()
    await cached.source.gate.arrivals()
    leaving.open()
    for _ in range(5):
        await asyncio.sleep(0)
    revision = cached.source.put("bob", "second2")
    cached.cache.invalidate("bob", revision)
    cached.source.gate.open()
    assert (await successor).revision == revision


async def test_everything_held_and_everything_under_way_can_be_dropped(cached):
    cached.source.put("eve", "first1")
    await cached.cache.get("bob")
    await cached.cache.get("nobody")
    cached.source.gate.close()
    caller = cached.fetching("eve")
    await cached.source.gate.arrivals()
    revision = cached.source.put("eve", "second2")
    cached.cache.invalidate_all()
    assert held_by(cached.cache) == []
    cached.source.gate.open()
    assert (await caller).revision == revision


async def test_forgetting_drops_what_is_held_whatever_its_revision(cached):
    await cached.cache.get("bob")
    cached.cache.forget("bob")
    assert cached.cache.peek("bob") is None


async def test_forgetting_repeats_the_fetch_that_is_under_way(cached):
    cached.source.gate.close()
    caller = cached.fetching()
    await cached.source.gate.arrivals()
    revision = cached.source.put("bob", "second2")
    cached.cache.forget("bob")
    cached.source.gate.open()
    assert (await caller).revision == revision


async def test_only_the_stale_ones_are_dropped_when_revisions_were_compared(cached):
    cached.source.put("eve", "first1")
    await cached.cache.get("bob")
    await cached.cache.get("eve")
    revision = cached.source.put("bob", "second2")
    cached.cache.invalidate_stale(["bob"], revision)
    assert cached.cache.peek("bob") is None
    assert cached.cache.peek("eve") is not None


async def test_unknown_users_are_remembered_with_revision_zero(cached):
    assert await cached.cache.get("nobody") == Credential("nobody", None, 0, read_revision=101)
    await cached.cache.get("nobody")
    assert cached.source.fetches["nobody"] == 1
    assert ("nobody", 0) in held_by(cached.cache)


async def test_a_user_who_was_unknown_is_known_after_the_invalidation(cached):
    await cached.cache.get("eve")
    revision = cached.source.put("eve", "first1")
    cached.cache.invalidate("eve", revision)
    assert (await cached.cache.get("eve")).revision == revision
    assert [held for held in held_by(cached.cache) if held[0] == "eve"] == [("eve", revision)]


async def test_a_user_who_was_deleted_is_held_once_as_unknown(cached):
    await cached.cache.get("bob")
    cached.cache.invalidate("bob", cached.source.remove("bob"))
    assert (await cached.cache.get("bob")).password is None
    assert held_by(cached.cache) == [("bob", 0)]


async def test_a_user_who_was_deleted_unnoticed_is_not_held_twice(cached):
    """Otherwise the older of both records would go on to be found first."""
    await cached.cache.get("bob")
    cached.clock.advance(1)
    cached.source.remove("bob")
    await cached.cache.newest("bob")
    assert held_by(cached.cache) == [("bob", 0)]
    assert cached.cache.peek("bob").password is None


async def test_a_flood_of_unknown_names_evicts_nobody_who_exists():
    cached = Cached(max_known=3, max_unknown=5)
    for name in ("a", "b", "c"):
        cached.source.put(name, "first1")
        await cached.cache.get(name)
    for number in range(100):
        await cached.cache.get(f"nobody{number}")
    assert {name for name, revision in held_by(cached.cache) if revision} == {"a", "b", "c"}
    assert len(held_by(cached.cache)) == 3 + 5


async def test_known_users_are_bounded_too():
    cached = Cached(max_known=3)
    for number in range(10):
        cached.source.put(f"user{number}", "first1")
        await cached.cache.get(f"user{number}")
    assert len(held_by(cached.cache)) == 3


async def test_a_refresh_so_soon_after_a_fetch_asks_nobody(cached):
    held = await cached.cache.get("bob")
    assert await cached.cache.newest("bob") is held
    assert cached.source.fetches["bob"] == 1


async def test_a_refresh_after_the_interval_asks_once_for_all(cached):
    await cached.cache.get("bob")
    cached.clock.advance(1)
    revision = cached.source.put("bob", "second2")
    refreshed = await asyncio.gather(*(cached.cache.newest("bob") for _ in range(5)))
    assert {each.revision for each in refreshed} == {revision}
    await cached.cache.newest("bob")
    assert cached.source.fetches["bob"] == 2


async def test_a_refresh_in_the_interval_answers_what_came_in_meanwhile(cached):
    await cached.cache.get("bob")
    cached.cache.invalidate("bob", cached.source.put("bob", "second2"))
    newer = await cached.cache.get("bob")
    assert await cached.cache.newest("bob") is newer


async def test_a_failed_fetch_reaches_all_who_wait_and_is_not_kept(cached):
    cached.source.error = UnavailableError("down")
    cached.source.gate.close()
    callers = [cached.fetching() for _ in range(3)]
    await cached.source.gate.arrivals()
    cached.source.gate.open()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in results] == [UnavailableError] * 3
    assert held_by(cached.cache) == []
    cached.source.error = None
    assert (await cached.cache.get("bob")).password == hashed("first1")


async def test_a_failed_refresh_does_not_count_as_one(cached):
    await cached.cache.get("bob")
    cached.clock.advance(1)
    cached.source.error = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await cached.cache.newest("bob")
    cached.source.error = None
    revision = cached.source.put("bob", "second2")
    assert (await cached.cache.newest("bob")).revision == revision


async def test_a_caller_who_hangs_up_leaves_the_fetch_to_the_others(cached):
    cached.source.gate.close()
    first, second = cached.fetching(), cached.fetching()
    await cached.source.gate.arrivals()
    first.cancel()
    await asyncio.wait([first])
    cached.source.gate.open()
    assert (await second).username == "bob"
    assert cached.source.fetches["bob"] == 1


async def test_a_replacement_takes_the_place_of_the_very_credential(cached):
    held = await cached.cache.get("bob")
    newer = Credential("bob", hashed("first1", 5), 200, read_revision=200)
    cached.cache.replace(held, newer)
    assert cached.cache.peek("bob") is newer


async def test_a_replacement_of_what_was_revoked_meanwhile_is_dropped(cached):
    held = await cached.cache.get("bob")
    cached.cache.invalidate("bob", cached.source.put("bob", "second2"))
    newer = Credential("bob", hashed("first1", 5), 200, read_revision=200)
    cached.cache.replace(held, newer)
    assert cached.cache.peek("bob") is None
    current = await cached.cache.get("bob")
    cached.cache.replace(held, newer)
    assert cached.cache.peek("bob") is current


@pytest.mark.parametrize("step", [0.1, 0.25, 0.5, 1.0])
async def test_an_entry_that_expires_in_the_middle_of_a_look_up_is_simply_gone(step):
    """Time goes on between any two looks at the clock, also inside of one method."""
    cached = Cached()
    now = cached.clock.now

    class TickingClock(ManualClock):
        def __call__(self):
            self.now += step
            return self.now

    source = ScriptedSource()
    source.put("bob", "first1")
    cache = CredentialCache(
        source,
        ttl_seconds=7 * step,
        max_known=10,
        max_unknown=10,
        refresh_interval_seconds=3 * step,
        clock=TickingClock(now),
    )
    for _ in range(40):
        held = await cache.get("bob")
        cache.peek("bob")
        cache.held()
        await cache.newest("bob")
        cache.replace(held, held)
        cache.invalidate("bob", 10_000)


class CacheMachine(RuleBasedStateMachine):
    """Whatever happens in which order: after an invalidation nothing older is held.

    Fetches are cut in two, the read at root coord and the arrival of its answer, so that
    changes and invalidations can come in between.
    """

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.revision = 100
        self.revisions = {"a": 0, "b": 0}
        self.floors = {"a": 0, "b": 0}
        self.answers = []
        self.callers = []
        self.cache = CredentialCache(
            self,
            ttl_seconds=10,
            max_known=10,
            max_unknown=10,
            refresh_interval_seconds=1,
            clock=self.clock,
        )

    async def fetch(self, username):
        revision = self.revisions[username]
        password = hashed("first1") if revision else None
        credential = Credential(username, password, revision, read_revision=self.revision)
        answer = self.loop.create_future()
        self.answers.append(answer)
        await answer
        return credential

    def settle(self):
        async def turns():
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    @rule(username=st.sampled_from("ab"))
    def ask(self, username):
        self.callers.append((self.loop.create_task(self.cache.get(username)), username))
        self.settle()

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer(self, data):
        answer = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if not answer.done():
            answer.set_result(None)
        self.settle()

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def hang_up(self, data):
        caller, _ = self.callers.pop(data.draw(st.integers(0, len(self.callers) - 1)))
        caller.cancel()
        self.settle()

    @rule(username=st.sampled_from("ab"), exists=st.booleans())
    def change(self, username, exists):
        self.revision += 1
        self.revisions[username] = self.revision if exists else 0

    @rule(username=st.sampled_from("ab"))
    def invalidate(self, username):
        self.cache.invalidate(username, self.revision)
        self.floors[username] = self.revision

    @rule()
    def invalidate_all(self):
        self.cache.invalidate_all()
        self.floors = dict.fromkeys("ab", self.revision)

    @rule(seconds=st.sampled_from([0.5, 1, 5, 20]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def nothing_older_than_its_invalidation_is_held(self):
        for username, floor in self.floors.items():
            held = self.cache.peek(username)
            assert held is None or held.read_revision >= floor

    @invariant()
    def there_is_one_fetch_for_a_user_at_a_time(self):
        assert sum(not answer.done() for answer in self.answers) <= 2

    def teardown(self):
        for caller, _ in self.callers:
            caller.cancel()
        self.settle()
        for answer in self.answers:
            answer.cancel()
        self.settle()
        self.loop.close()


CacheMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestCacheMachine = CacheMachine.TestCase


# --- root coord is away ------------------------------------------------------------------


@pytest.fixture
async def leased(cached):
    cached.has_lease = True
    cached.cache._under_lease = lambda: cached.has_lease
    held = await cached.cache.get("bob")
    cached.source.error = UnavailableError("root coord is being replaced")
    cached.clock.advance(61)
    return cached, held


async def test_under_a_lease_what_is_held_outlives_its_ttl_while_root_coord_is_away(leased):
    cached, held = leased
    assert await cached.cache.get("bob") is held
    assert cached.cache.peek("bob") is held


async def test_without_a_lease_it_does_not(leased):
    cached, _ = leased
    cached.has_lease = False
    with pytest.raises(UnavailableError):
        await cached.cache.get("bob")


async def test_what_was_invalidated_after_its_ttl_never_comes_back(leased):
    cached, held = leased
    cached.cache.invalidate("bob", held.read_revision + 1)
    with pytest.raises(UnavailableError):
        await cached.cache.get("bob")


async def test_what_may_come_back_is_compared_at_a_resynchronisation(leased):
    cached, held = leased
    assert held_by(cached.cache) == [("bob", held.revision)]


async def test_root_coord_is_asked_again_as_soon_as_it_answers(leased):
    cached, _ = leased
    cached.source.error = None
    cached.source.put("bob", "second2")
    newest = await cached.cache.get("bob")
    assert newest.password == cached.source.records["bob"][0]
