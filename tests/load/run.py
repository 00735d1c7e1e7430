"""One run from the first connection to the last user removed."""

import asyncio
from dataclasses import dataclass

from rich.console import Console

from tests.load import progress, raw
from tests.load.driver import Driver
from tests.load.errors import LoadError
from tests.load.plan import Plan
from tests.load.raw import Raw
from tests.load.record import Record
from tests.load.target import Account, Encryption, Target
from tests.load.users import LoadUsers


@dataclass(frozen=True)
class Finished:
    """Attributes:
    records: one for each scenario.
    raw: raw throughput of one proxy; a text says why there is none.
    left_over: names of users that could not be removed.
    """

    records: list[Record]
    raw: Raw | str
    left_over: list[str]


async def run(
    plan: Plan,
    target: Target,
    administrator: Account,
    *,
    console: Console,
    raw_seconds: float,
    encryption: Encryption | None,
) -> Finished:
    """Make the load.

    Args:
        plan: what to do.
        target: where; it is opened and closed here.
        administrator: who creates and removes the users.
        console: for progress.
        raw_seconds: how long raw throughput is measured afterwards; 0: not at all.
        encryption: as the target's, for h2load.

    Raises:
        LoadError: the load cannot be made.
    """
    load_users = LoadUsers(target, administrator)
    try:
        await target.open()
        async with load_users:
            scenarios = plan.scenarios(target, load_users)
            records = {each: Record(each.name, plan.seconds) for each in scenarios}
            console.print("creating users ...")
            for scenario in scenarios:
                await scenario.prepare()
            shown = list(records.values())
            showing = asyncio.create_task(progress.show(console, shown, plan.seconds))
            try:
                await Driver().run(scenarios, records, plan.seed)
            finally:
                showing.cancel()
                # Not awaited itself: a stop that comes meanwhile must not pass for its end.
                await asyncio.wait({showing})
            measured = await _raw(target, load_users, raw_seconds, encryption, console)
            console.print("removing users ...")
    finally:
        await target.close()
    return Finished(shown, measured, load_users.left_over)


async def _raw(
    target: Target,
    load_users: LoadUsers,
    seconds: float,
    encryption: Encryption | None,
    console: Console,
) -> Raw | str:
    if not seconds:
        return "not asked for"
    if not raw.is_installed():
        return raw.MISSING
    console.print("measuring raw throughput with h2load ...")
    (account,) = await load_users.create(1)
    answer = await target.call(0, account.header)
    try:
        return await raw.throughput(
            *(target.addresses[0], target.method, account, answer),
            seconds=seconds,
            encryption=encryption,
        )
    except LoadError as error:
        return str(error)
