"""Short stories, each of which a guard of the protocol must survive.

With the guard the checker finds nothing; with the bug that takes it away, a violation.
Each is the shortest way to a moment at which only that guard stands between an
acknowledged change and the old password or permission.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.checker import Violation, check
from tests.chaos.client import Client
from tests.chaos.deployment import SHORT_TIMINGS, Deployment, Plan, deployment
from tests.chaos.failpoints import Action, Point
from tests.chaos.history import Decision, History, Outcome, Subject
from tests.chaos.ledger import Permission

USER = "alice"
_ASKING_PAUSE_SECONDS = 0.01


class Stage:
    """A deployment, a client of each proxy, and the history of what they do."""

    def __init__(self, parts: Deployment, clients: list[Client]) -> None:
        self.parts = parts
        self.clients = clients
        self.history = History()

    async def know(self, version: int) -> None:
        """Every proxy has seen this login and remembers it."""
        for client in self.clients:
            self.history.requests.append(await client.request(USER, version))

    async def change(self, proxy: int, old: int, new: int, *, by_root: bool = False) -> None:
        """A change through one proxy; it must be acknowledged."""
        change = await self.clients[proxy].change(USER, old, new, by_root=by_root)
        self.history.changes.append(change)
        if change.outcome is not Outcome.ACKNOWLEDGED:
            raise AssertionError(f"the scenario needs this change acknowledged: {change}")

    async def permission(self, subject: Subject) -> Permission:
        """A new permission, which is not given yet."""
        permission = Permission(f"user_of_{subject}", subject)
        await self.clients[0].create(permission.user)
        await self.clients[0].prepare(permission)
        return permission

    async def turn(self, proxy: int, permission: Permission) -> None:
        """Gives a permission through one proxy, or takes it; it must be acknowledged."""
        change = await self.clients[proxy].change_permission(permission)
        self.history.changes.append(change)
        if change.outcome is not Outcome.ACKNOWLEDGED:
            raise AssertionError(f"the scenario needs this change acknowledged: {change}")
        permission.version = change.new

    async def search(
        self, proxy: int, permission: Permission, seconds: float = 0.0, *, hesitation: float = 0.0
    ) -> None:
        """The same search through one proxy, once, or again and again for some time."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            self.history.requests.append(
                await self.clients[proxy].search(permission, hesitation_seconds=hesitation)
            )
            if asyncio.get_running_loop().time() >= until:
                return
            await asyncio.sleep(_ASKING_PAUSE_SECONDS)

    async def served(self, *clients: Client) -> None:
        """Returns when these clients' proxies decide logins that they do not know."""
        for client in clients:
            async with asyncio.timeout(20):
                while True:
                    if (await client.request("nobody", 0)).decision is Decision.REFUSED:
                        break
                    await asyncio.sleep(0.05)

    async def ask(self, proxy: int, version: int, seconds: float) -> None:
        """The same login through one proxy, again and again."""
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            self.history.requests.append(await self.clients[proxy].request(USER, version))
            await asyncio.sleep(_ASKING_PAUSE_SECONDS)


async def overtaken_read(stage: Stage) -> None:
    """A read of the old password is under way while the change is made."""
    active = await stage.parts.active()
    await stage.know(0)
    active.failpoints.slow_reads(on=True)
    for version in range(1, 6, 2):
        await stage.change(0, version - 1, version, by_root=True)
        # The proxy has to read now: it holds nothing of this user.
        reading = asyncio.create_task(stage.ask(1, version, 0.3))
        await asyncio.sleep(0.05)
        await stage.change(0, version, version + 1, by_root=True)
        await reading
        await stage.ask(1, version, 0.2)


async def cut_off_proxy(stage: Stage) -> None:
    """A proxy is cut off for longer than its lease."""
    await stage.know(0)
    for link in stage.parts.proxies[1].links:
        link.hold()
    await stage.change(0, 0, 1)
    await stage.ask(1, 0, 0.5)


async def late_renewals(stage: Stage) -> None:
    """Renewals are answered late, ever later, and then the proxy is cut off."""
    links = stage.parts.proxies[1].links
    lease = stage.parts.lease_seconds
    await stage.know(0)
    # In small steps, or the silence between two answers would end the session.
    for step in range(1, 15):
        for link in links:
            link.answers.delay_seconds = lease * 0.05 * step
        await asyncio.sleep(0.3)
    for link in links:
        link.questions.hold()
    # Answers sent before this moment go on arriving.
    await asyncio.sleep(lease * 0.65)
    for link in links:
        link.hold()
    await stage.change(0, 0, 1)
    await stage.ask(1, 0, lease * 0.5)


async def slow_notice(stage: Stage) -> None:
    """A notice takes a moment to reach, or to be applied by, a proxy."""
    for link in stage.parts.proxies[1].links:
        link.answers.delay_seconds = 0.2
    for version in range(3):
        await stage.know(version)
        await stage.change(0, version, version + 1)
        await stage.ask(1, version, 0.2)


async def cut_off_during_election(stage: Stage) -> None:
    """The active root coord dies; a proxy that it had given a lease does not reach the next."""
    await stage.know(0)
    for link in stage.parts.proxies[1].links:
        link.hold()
    active = await stage.parts.active()
    await stage.parts.kill(active)
    await stage.parts.active()
    await stage.served(stage.clients[0])
    await stage.change(0, 0, 1)
    await stage.ask(1, 0, 1.0)


async def deposed_in_mid_write(stage: Stage) -> None:
    """A root coord stops just before its write, and wakes up when another has taken over."""
    await stage.know(0)
    active = await stage.parts.active()
    active.failpoints.arm(Point.BEFORE_WRITE, Action.STOP)
    # By root, who names no old password: only the fence keeps it from being written late.
    early = await stage.clients[0].change(USER, 0, 1, by_root=True)
    stage.history.changes.append(early)
    await stage.parts.active_other_than(active)
    await stage.served(*stage.clients)
    await stage.change(1, 0, 2, by_root=True)
    active.resume()
    await stage.ask(0, 1, 1.0)
    await stage.ask(1, 2, 0.2)


async def stream_broken(stage: Stage) -> None:
    """A proxy's connections are reset while it has a lease."""
    await stage.know(0)
    for link in stage.parts.proxies[1].links:
        link.cut()
    await asyncio.sleep(0.3)
    await stage.change(0, 0, 1)
    await stage.ask(1, 0, 0.5)


async def roles_change(stage: Stage) -> None:
    """Grants, mappings and groups change while proxies hold them; notices take a moment."""
    permissions = [
        await stage.permission(each) for each in (Subject.GRANT, Subject.MAPPING, Subject.GROUP)
    ]
    for link in stage.parts.proxies[1].links:
        link.answers.delay_seconds = 0.1
    for permission in permissions:
        await stage.turn(0, permission)
    for _ in range(2):
        for permission in permissions:
            await stage.search(1, permission)
            await stage.turn(0, permission)
            await stage.search(1, permission, 0.15)


async def overtaken_roles(stage: Stage) -> None:
    """A read of the old roles is under way while a grant changes."""
    active = await stage.parts.active()
    permission = await stage.permission(Subject.GRANT)
    active.failpoints.slow_reads(on=True)
    for _ in range(3):
        await stage.turn(0, permission)
        # The proxy has to read now: the change has dropped its roles.
        reading = asyncio.create_task(stage.search(1, permission, 0.3))
        await asyncio.sleep(0.05)
        await stage.turn(0, permission)
        await reading
        await stage.search(1, permission, 0.2)


async def late_request(stage: Stage) -> None:
    """A permission is taken between the head of a call and its request."""
    permission = await stage.permission(Subject.GRANT)
    await stage.turn(0, permission)
    await stage.search(1, permission)
    calling = asyncio.create_task(stage.search(1, permission, hesitation=1.0))
    await asyncio.sleep(0.2)
    await stage.turn(0, permission)
    await calling


async def new_session(stage: Stage) -> None:
    """Grants and mappings change while a proxy has no session, and then it opens one."""
    permissions = [await stage.permission(each) for each in (Subject.GRANT, Subject.MAPPING)]
    for permission in permissions:
        await stage.turn(0, permission)
        await stage.search(1, permission)
    for link in stage.parts.proxies[1].links:
        link.cut()
    for permission in permissions:
        await stage.turn(0, permission)
    for link in stage.parts.proxies[1].links:
        link.mend()
    for permission in permissions:
        await stage.search(1, permission, 1.0)


async def deposed_in_mid_grant(stage: Stage) -> None:
    """A root coord stops just before it writes a grant, and wakes up when another leads."""
    permission = await stage.permission(Subject.GRANT)
    active = await stage.parts.active()
    active.failpoints.arm(Point.BEFORE_WRITE, Action.STOP)
    # Not in the history: once another one leads, the fence must keep it from ever being made.
    early = await stage.clients[0].change_permission(permission)
    if early.outcome is Outcome.ACKNOWLEDGED:
        raise AssertionError(f"the scenario needs this change without an answer: {early}")
    await stage.parts.active_other_than(active)
    await stage.served(*stage.clients)
    permission.version = early.new
    await stage.turn(1, permission)
    active.resume()
    await stage.search(0, permission, 1.0)
    await stage.search(1, permission)


@dataclass(frozen=True)
class Scenario:
    """A story, and the bugs that it exposes."""

    story: Callable[[Stage], Awaitable[None]]
    bugs: tuple[str, ...]
    root_coords: int = 1
    timings: Mapping[str, Any] | None = None


SCENARIOS = (
    Scenario(overtaken_read, ("no_floor",)),
    Scenario(cut_off_proxy, ("no_lease_check",)),
    Scenario(late_renewals, ("lease_from_receipt",)),
    Scenario(slow_notice, ("acknowledge_before_invalidating", "answer_before_acknowledgements")),
    Scenario(stream_broken, ("broken_stream_forgotten",)),
    Scenario(
        cut_off_during_election,
        ("no_leader_wait",),
        root_coords=2,
        # A long lease: the wait is what it is about.
        timings={"lease": {"ttl": 7, "renewInterval": 0.3}, "election": {"ttl": 2}},
    ),
    Scenario(deposed_in_mid_write, ("unfenced_write",), root_coords=2),
    Scenario(
        roles_change,
        (
            "roles_kept",
            "mapping_kept",
            "acknowledge_before_roles_changed",
            "no_policy_notice",
            "no_mapping_notice",
        ),
    ),
    Scenario(overtaken_roles, ("no_role_floor",)),
    Scenario(late_request, ("old_decision_kept",)),
    Scenario(new_session, ("roles_kept_by_new_session", "mappings_kept_by_new_session")),
    Scenario(deposed_in_mid_grant, ("unfenced_roles",), root_coords=2),
)


async def play(folder: Path, scenario: Scenario, bug: str) -> list[Violation]:
    """What the checker finds in a scenario, with a bug or ("") without."""
    plan = Plan(
        proxies=2,
        root_coords=scenario.root_coords,
        timings=scenario.timings or SHORT_TIMINGS,
        bug=bug,
    )
    async with _stage(folder, plan) as stage:
        await scenario.story(stage)
    return check(stage.history)


#: For each bug, or story without one: the violations, or what went wrong.
Findings = Mapping[str, list[Violation] | Exception]


async def play_with_bugs(folder: Path) -> Findings:
    """Each bug in the scenario that exposes it."""
    return await _play_all(folder, [(each, bug) for each in SCENARIOS for bug in each.bugs])


async def play_without_bugs(folder: Path) -> Findings:
    """Each scenario with all guards in place: nothing is to be found."""
    return await _play_all(folder, [(each, "") for each in SCENARIOS])


async def _play_all(folder: Path, cast: Sequence[tuple[Scenario, str]]) -> Findings:
    # They mostly wait. More at once would disturb each other's timing.
    stages = asyncio.Semaphore(2)

    async def one(scenario: Scenario, bug: str) -> list[Violation] | Exception:
        async with stages:
            try:
                return await play(folder / (bug or scenario.story.__name__), scenario, bug)
            except Exception as error:  # noqa: BLE001 - reported as this scenario's result
                return error

    played = await asyncio.gather(*(one(scenario, bug) for scenario, bug in cast))
    names = [bug or scenario.story.__name__ for scenario, bug in cast]
    return dict(zip(names, played, strict=True))


@asynccontextmanager
async def _stage(folder: Path, plan: Plan) -> AsyncIterator[Stage]:
    async with deployment(folder, plan) as parts:
        clients = [Client(proxy.name, proxy.address) for proxy in parts.proxies]
        try:
            await clients[0].create(USER)
            yield Stage(parts, clients)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)
