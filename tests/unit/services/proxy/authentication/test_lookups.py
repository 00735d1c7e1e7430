"""Which look-ups wait in line is one table, held here as a table and by what is done."""

from contextlib import asynccontextmanager

import pytest

from tests.support.credentials import ManualClock, ScriptedSource
from vecguard.errors import DeadlineError, OverloadedError, UnavailableError
from vecguard.proxy.authentication.buckets import Rate
from vecguard.proxy.authentication.credentials import Cached, CredentialCache
from vecguard.proxy.authentication.limits import FailureLimits, FailureRates, NoLimits
from vecguard.proxy.authentication.lookups import Lookups, Reading, Standing, reading

RECENT, FRESH, EXPIRED, ABSENT = Cached
VOUCHED, RIGHT_BEFORE, UNPROVEN, WRONG = Standing
CACHE, AT_ONCE, IN_LINE = Reading

TABLE = [
    (RECENT, VOUCHED, CACHE),
    (RECENT, RIGHT_BEFORE, CACHE),
    (RECENT, UNPROVEN, CACHE),
    (RECENT, WRONG, CACHE),
    (FRESH, VOUCHED, CACHE),
    (FRESH, RIGHT_BEFORE, IN_LINE),
    (FRESH, UNPROVEN, IN_LINE),
    (FRESH, WRONG, IN_LINE),
    (EXPIRED, VOUCHED, AT_ONCE),
    (EXPIRED, RIGHT_BEFORE, AT_ONCE),
    (EXPIRED, UNPROVEN, IN_LINE),
    (EXPIRED, WRONG, IN_LINE),
    (ABSENT, VOUCHED, IN_LINE),
    (ABSENT, RIGHT_BEFORE, IN_LINE),
    (ABSENT, UNPROVEN, IN_LINE),
    (ABSENT, WRONG, IN_LINE),
]


class CountedQueue:
    """Gives every slot at once, and counts them."""

    def __init__(self):
        self.slots = 0
        self.suspects = 0

    @asynccontextmanager
    async def slot(self, origin, *, name, suspect):
        self.slots += 1
        self.suspects += suspect
        yield


class Setup:
    """Look-ups of bob, whose record has been read and then changed unnoticed."""

    def __init__(self):
        self.clock = ManualClock()
        self.source = ScriptedSource()
        self.queue = CountedQueue()
        self.credentials = CredentialCache(
            self.source,
            ttl_seconds=60,
            max_known=10,
            max_unknown=10,
            refresh_interval_seconds=1,
            clock=self.clock,
        )
        self.lookups = Lookups(self.credentials, NoLimits(clock=self.clock), self.queue)

    async def bring(self, cached):
        self.source.put("bob", "first1")
        if cached is not ABSENT:
            await self.credentials.get("bob")
        self.clock.advance({RECENT: 0.9, FRESH: 1.0, EXPIRED: 60.0, ABSENT: 0.0}[cached])
        assert self.credentials.state("bob") is cached
        self.source.fetches.clear()
        return self.source.put("bob", "second2")


def test_the_table_has_every_case_once():
    assert {(cached, standing) for cached, standing, _ in TABLE} == {
        (cached, standing) for cached in Cached for standing in Standing
    }
    assert len(TABLE) == len(Cached) * len(Standing)


@pytest.mark.parametrize(("cached", "standing", "expected"), TABLE)
async def test_a_record_is_read_as_the_table_says(cached, standing, expected):
    assert reading(cached, standing) is expected
    setup = Setup()
    newest = await setup.bring(cached)
    record = await setup.lookups.record("bob", "192.0.2.7", standing)
    assert (record.revision == newest) == (expected is not CACHE)
    assert setup.source.fetches.total() == (0 if expected is CACHE else 1)
    assert setup.queue.slots == (1 if expected is IN_LINE else 0)


@pytest.mark.parametrize("error", [UnavailableError, DeadlineError, OverloadedError])
@pytest.mark.parametrize(("cached", "standing", "expected"), TABLE)
async def test_without_an_answer_a_fresh_record_counts_unless_the_login_is_wrong(
    cached, standing, expected, error
):
    setup = Setup()
    await setup.bring(cached)
    setup.source.error = error("root coord does not answer")
    asked = setup.lookups.record("bob", "192.0.2.7", standing)
    if expected is CACHE or (cached is FRESH and standing is not WRONG):
        assert await asked is setup.credentials.peek("bob")
    else:
        with pytest.raises(error, match="does not answer"):
            await asked


async def test_a_record_that_was_read_while_this_one_waited_is_not_read_again():
    setup = Setup()
    await setup.bring(ABSENT)

    class Slow(CountedQueue):
        @asynccontextmanager
        async def slot(self, origin, *, name, suspect):
            await setup.credentials.get("bob")
            yield

    lookups = Lookups(setup.credentials, NoLimits(clock=setup.clock), Slow())
    record = await lookups.record("bob", "192.0.2.7", UNPROVEN)
    assert record is setup.credentials.peek("bob")
    assert setup.source.fetches.total() == 1


async def test_an_origin_that_has_failed_waits_as_a_suspect():
    setup = Setup()
    rate = Rate.per_minute(10, 10.0)
    limits = FailureLimits(FailureRates(pair=rate, origin=rate, name=rate), clock=setup.clock)
    lookups = Lookups(setup.credentials, limits, setup.queue)
    limits.failed("192.0.2.7", "nobody")
    await lookups.record("bob", "192.0.2.7", UNPROVEN)
    await lookups.record("eve", "192.0.2.8", UNPROVEN)
    assert (setup.queue.slots, setup.queue.suspects) == (2, 1)


@pytest.mark.parametrize("standing", Standing)
async def test_an_unknown_name_is_read_as_an_absent_one_and_then_kept_for_a_while(standing):
    setup = Setup()
    for _ in range(2):
        record = await setup.lookups.record("nobody", "192.0.2.7", standing)
        assert record.password is None
    assert (setup.source.fetches.total(), setup.queue.slots) == (1, 1)


async def test_a_dropped_record_is_read_again_however_recent_it_was():
    setup = Setup()
    newest = await setup.bring(RECENT)
    setup.credentials.invalidate("bob", newest)
    assert setup.credentials.state("bob") is ABSENT
    assert (await setup.lookups.record("bob", "192.0.2.7", WRONG)).revision == newest
