"""What the settings say is what the parts of the authentication do."""

import asyncio

import pytest

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    header_of,
    login_settings,
    observed_authentication,
)
from vecguard.errors import OverloadedError, VecguardError
from vecguard.proxy.authentication import configured
from vecguard.proxy.authentication.configured import fetch_rate, open_verifier
from vecguard.proxy.authentication.errors import LoginLimitedError, WrongCredentialsError


def opened(**sections):
    source = ScriptedSource()
    for number in range(10):
        source.put(f"user{number}", "first1")
    return observed_authentication(source, settings=login_settings(**sections), clock=ManualClock())


async def test_no_more_logins_are_remembered_than_are_configured():
    authentication = opened(cache={"max_logins": 2})
    for number in range(5):
        await authentication.authenticator.authenticate([header_of(f"user{number}", "first1")])
    assert authentication.logins.sizes()["accepted"] == 2
    authentication.close()


async def test_records_are_cached_for_the_configured_time():
    source, clock = ScriptedSource(), ManualClock()
    source.put("user0", "first1")
    authentication = observed_authentication(
        source, settings=login_settings(cache={"ttl": 20.0}), clock=clock
    )
    for advance, fetches in ((0, 1), (19.9, 1), (0.2, 2)):
        clock.advance(advance)
        await authentication.authenticator.vouch_for("user0")
        assert source.fetches["user0"] == fetches
    authentication.close()


async def test_no_more_records_are_cached_than_are_configured():
    authentication = opened(cache={"max_credentials": 2})
    for number in range(5):
        await authentication.credentials.get(f"user{number}")
        await authentication.credentials.get(f"nobody{number}")
    assert authentication.credentials.sizes() == {"known": 2, "unknown": 2, "lasting": 2}
    authentication.close()


async def test_no_more_logins_of_one_address_wait_than_are_configured():
    authentication = opened(authentication={"verifier_queue_per_address": 1})
    authentication.verifier.gate.close()

    def login(number, origin):
        value = header_of(f"user{number}", "first1")
        return asyncio.create_task(authentication.authenticator.authenticate([value], origin))

    # Two threads and a place in the queue; the next address has a place of its own.
    many = [login(number, "192.0.2.1") for number in range(4)]
    await authentication.verifier.gate.arrivals(2)
    other = login(4, "192.0.2.2")
    done, _ = await asyncio.wait(many, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = done
    with pytest.raises(OverloadedError):
        await refused
    authentication.verifier.gate.open()
    await other
    await asyncio.gather(*(set(many) - done))
    authentication.close()


@pytest.mark.parametrize("enabled", [True, False])
async def test_failed_logins_are_limited_unless_that_is_off(enabled):
    authentication = opened(
        authentication={"login_limits": {"enabled": enabled, "pair_burst": 2}},
    )
    errors = []
    for number in range(3):
        with pytest.raises(VecguardError) as refusal:
            await authentication.authenticator.authenticate([header_of("user0", f"wrong{number}")])
        errors.append(type(refusal.value))
    last = LoginLimitedError if enabled else WrongCredentialsError
    assert errors == [WrongCredentialsError, WrongCredentialsError, last]
    authentication.close()


@pytest.mark.parametrize(
    ("threads", "workers", "cpus", "expected"),
    [(3, 2, 8, 3), (0, 2, 8, 4), (0, 1, 8, 8), (0, 16, 8, 1)],
)
async def test_workers_share_the_cpus_for_bcrypt_unless_told_otherwise(
    monkeypatch, threads, workers, cpus, expected
):
    monkeypatch.setattr(configured, "usable_cpus", lambda: cpus)
    settings = login_settings(
        authentication={"verifier_threads": threads}, proxy={"workers": workers}
    )
    verifier = open_verifier(settings, clock=ManualClock())
    assert verifier._threads._max_workers == expected
    verifier.close()


def test_all_users_that_there_may_be_are_looked_up_at_once_after_a_restart():
    assert fetch_rate(max_users=100).burst == 1000
    assert fetch_rate(max_users=20_000).burst == 20_000
    assert fetch_rate(max_users=20_000).per_second == 100
