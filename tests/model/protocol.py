"""The steps of the protocol: every way in which a state can become another one.

Each step is what one process does without waiting for anything. Pauses need no step of
their own: nothing obliges a process to act before time goes on.

Two steps of the real protocol are one step here where a delay between them could only
make the model safer; `docs/protocol-model.md` gives the argument for each.
"""

from collections.abc import Iterator
from functools import cache

from tests.model.proxy_steps import (
    ProxySteps,
    awaited,
    later,
    notice_name,
    sent,
    settled,
    told,
)
from tests.model.rules import Bug, Rules
from tests.model.state import (
    CLOSED,
    COMMITTED,
    EARLY,
    EVERYTHING,
    IDLE,
    INVALIDATE,
    LEADER,
    LOST,
    NONE,
    POLICY,
    STANDBY,
    SURRENDER,
    SURRENDERING,
    WAITING,
    Proxy,
    Root,
    State,
    Step,
    World,
)

Successor = tuple[Step, State]

_USURPED = "a change was made by an actor whose record or rights had been replaced"


class Protocol:
    """The transition relation under one set of rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._bug = rules.bug
        self._steps = ProxySteps(rules)
        # A step touches one or two of the tuples that a state is made of, and those recur
        # in very many states.
        self._proxy_later = cache(later)
        self._world_later = cache(_world_later)
        self._root_later = cache(_root_later)
        self._told = cache(told)
        self._settled = cache(settled)

    def initial(self) -> State:
        """Root coord 1 leads, no proxy has connected, no lease was ever granted."""
        rules = self.rules
        return State(
            World(holder=0, election_lease=rules.election_ttl, longest=rules.lease_ttl_of(0)),
            (Root(role=LEADER, valid=rules.election_ttl), Root()),
            (Proxy(),) * rules.proxies,
        )

    def violation(self, state: State) -> str:
        """The promise, as a property of one state; empty while it holds.

        A request sent at this moment may arrive at once. So the promise is broken by a
        state in which a proxy could decide by a version whose replacement has been
        acknowledged, whether to accept the old password or to refuse the new one.
        """
        world, _, proxies = state
        acknowledged = world.acknowledged
        if self.rules.roles:
            return self._violation_of_roles(state)
        for number, proxy in enumerate(proxies, 1):
            if NONE < proxy.cached < acknowledged and self._decides(proxy):
                return (
                    f"proxy {number} decides by version {proxy.cached} after version "
                    f"{acknowledged} was acknowledged"
                )
            if proxy.cached == LOST and self._decides(proxy):
                return f"proxy {number} decides by a version that the restored store has not"
        if world.overwritten:
            return "a deposed leader wrote over an acknowledged change"
        return _USURPED if world.usurped else ""

    def _violation_of_roles(self, state: State) -> str:
        """The same for a call, which the user's roles and the policy decide together."""
        world, _, proxies = state
        for number, proxy in enumerate(proxies, 1):
            decides = self._decides(proxy)
            for mapping, policy in [(proxy.cached, proxy.rights)] * decides + [proxy.standing]:
                if NONE in (mapping, policy):
                    continue
                if mapping < world.acknowledged:
                    return (
                        f"proxy {number} decides by version {mapping} of the user's roles after "
                        f"version {world.acknowledged} was acknowledged"
                    )
                if policy < world.policy_acknowledged:
                    return (
                        f"proxy {number} decides by version {policy} of the policy after "
                        f"version {world.policy_acknowledged} was acknowledged"
                    )
        if world.overwritten:
            return "a deposed leader wrote over an acknowledged change"
        return _USURPED if world.usurped else ""

    def _decides(self, proxy: Proxy) -> bool:
        if self._bug in (Bug.NO_LEASE_CHECK, Bug.ROLES_WITHOUT_LEASE):
            return True
        if self._bug is Bug.CLOCK_READ_BEFORE_REQUEST:
            return proxy.glance > 0
        return proxy.lease > 0

    def _admits(self, proxy: Proxy) -> bool:
        """Whether it may admit a change now."""
        has_rights = proxy.rights >= 0 or not self.rules.roles
        return proxy.cached >= 0 and has_rights and self._decides(proxy)

    def finished(self, state: State) -> bool:
        """Whether the promise cannot be broken any more, so that nothing need follow.

        Every change has been committed and none is under way: no further version will be
        acknowledged. And no older version than the acknowledged one is left anywhere.
        """
        world, roots, proxies = state
        changes = max(world.version, world.policy)
        if changes < self.rules.changes or roots[0].stage or roots[1].stage:
            return False
        if self.rules.restores or world.asked != NONE:
            return False
        if self._bug in (Bug.UNFENCED_WRITE, Bug.REPEAT_ANSWERED_AT_ONCE):
            return False
        newest = world.acknowledged
        if newest == 0 and world.policy_acknowledged == 0:
            return True
        if self.rules.stale_reads and (
            self._bug in (Bug.STALE_READ_ACCEPTED, Bug.SEEN_BEGINS_EMPTY)
            or any(root.role != STANDBY and root.seen < newest for root in roots)
        ):
            return False
        return all(
            not NONE < proxy.cached < newest
            and not NONE < proxy.fetch < newest
            and not _has_older_roles(proxy, world.policy_acknowledged)
            for proxy in proxies
        )

    def successors(self, state: State) -> Iterator[Successor]:
        """Every state that one step can lead to."""
        if self.finished(state):
            return
        yield from self._time(state)
        for r in (0, 1):
            yield from self._root(state, r)
        for p in range(len(state.proxies)):
            yield from self._proxy(state, p)
        if self.rules.restores:
            yield from self._restore(state)

    # --- etcd --------------------------------------------------------------

    @staticmethod
    def _restore(state: State) -> Iterator[Successor]:
        world, roots, proxies = state
        leads = any(root.role != STANDBY for root in roots)
        if leads or world.holder != NONE or any(_may_have_lease(proxy) for proxy in proxies):
            return
        for version in range(world.version):
            yield (
                Step("restore", f"etcd: is restored from a backup that has version {version}"),
                State(
                    world._replace(version=version, acknowledged=min(version, world.acknowledged)),
                    roots,
                    tuple(_after_restore(proxy, version) for proxy in proxies),
                ),
            )

    # --- time --------------------------------------------------------------

    def _time(self, state: State) -> Iterator[Successor]:
        rules, behind = self.rules, state.world.behind
        yield Step("tick", "time: one tick"), self._tick(state, "", 1)
        if rules.drifting and not behind:
            text = f"time: one tick, which the clock of {rules.drifting} misses"
            yield Step("slow tick", text), self._tick(state, rules.drifting, 0)
        elif rules.drifting:
            text = f"time: one tick, the clock of {rules.drifting} makes two"
            yield Step("fast tick", text), self._tick(state, rules.drifting, 2)
        if self._bug is Bug.CLOCK_STOPS_IN_SUSPEND:
            text = "time: one tick, proxy 1 is suspended and its clock stands still"
            yield Step("suspended", text), self._tick(state, "proxy", 0, drift=False)
        if self._bug is Bug.ROOT_CLOCK_STOPS_IN_SUSPEND:
            text = "time: one tick, root coord 1 is suspended and its clock stands still"
            yield Step("suspended", text), self._tick(state, "root", 0, drift=False)

    def _tick(self, state: State, who: str, ticks: int, *, drift: bool = True) -> State:
        """One tick for each clock, except `ticks` for the clock of `who`."""
        world, roots, proxies = state
        behind = int(ticks == 0) if drift and who else world.behind
        first = ticks if who == "root" else 1
        own = ticks if who == "proxy" else 1
        return State(
            self._world_later(world, ticks if who == "etcd" else 1, behind),
            (self._root_later(roots[0], first), self._root_later(roots[1], 1)),
            tuple(
                self._proxy_later(proxy, own if p == 0 else 1, first)
                for p, proxy in enumerate(proxies)
            ),
        )

    # --- root coord --------------------------------------------------------

    def _root(self, state: State, r: int) -> Iterator[Successor]:
        world, roots, _ = state
        root, name = roots[r], f"root coord {r + 1}"
        if root.role == STANDBY:
            if world.holder == NONE:
                yield self._elected(state, r)
            return
        if world.holder == r:
            if (
                root.valid < self.rules.election_ttl
                or world.election_lease < self.rules.election_ttl
            ):
                kept = root._replace(valid=self.rules.election_ttl)
                yield (
                    Step("keepalive", f"{name}: keeps its election lease alive"),
                    _with_root(
                        state._replace(
                            world=world._replace(election_lease=self.rules.election_ttl)
                        ),
                        r,
                        kept,
                    ),
                )
        else:
            yield Step("deposed", f"{name}: learns that it leads no more"), self._left(state, r)
        if self.rules.crashes:
            yield Step("root crash", f"{name}: is killed and started again"), self._left(state, r)
        yield from self._change(state, r)
        if self.rules.step_downs:
            yield from self._step_down(state, r)

    def _elected(self, state: State, r: int) -> Successor:
        rules, world = self.rules, state.world
        own = rules.lease_ttl_of(r)
        earlier = own if self._bug is Bug.OWN_LEASE_WAITED_FOR else world.longest
        wait = earlier + rules.margin
        if world.handed_over or self._bug is Bug.NO_LEADER_WAIT:
            wait = 0
        root = Root(
            role=LEADER,
            valid=rules.election_ttl,
            wait=wait,
            seen=world.version if self._knows_newest() else 0,
        )
        kept = world.handed_over if self._bug is Bug.HANDOVER_RECORD_KEPT else 0
        world = world._replace(
            holder=r,
            latest=r,
            election_lease=rules.election_ttl,
            handed_over=kept,
            longest=own if world.handed_over else max(own, world.longest),
        )
        text = f"root coord {r + 1}: is elected, must wait {wait} ticks before it answers changes"
        return (
            Step("elected without wait" if wait == 0 else "elected", text),
            _with_root(state._replace(world=world), r, root),
        )

    def _knows_newest(self) -> bool:
        return self.rules.stale_reads and self._bug is not Bug.SEEN_BEGINS_EMPTY

    def _left(self, state: State, r: int) -> State:
        """Root coord `r` forgets its sessions; its streams are gone."""
        roots = (Root(), state.roots[1]) if r == 0 else (state.roots[0], Root())
        proxies = tuple(self._steps.term_over(proxy, r) for proxy in state.proxies)
        return State(state.world, roots, proxies)

    def _change(self, state: State, r: int) -> Iterator[Successor]:
        world, roots, proxies = state
        root, name = roots[r], f"root coord {r + 1}"
        if root.stage == IDLE:
            yield from self._commit(state, r)
            return
        if root.stage == COMMITTED:
            for notices in self._notices(root):
                told = proxies
                if notices:
                    told = tuple(self._told(proxy, r, notices) for proxy in proxies)
                named = ", ".join(map(notice_name, notices)) or "nothing"
                yield (
                    Step("invalidate", f"{name}: sends {named} to every session"),
                    _with_root(state._replace(proxies=told), r, root._replace(stage=WAITING)),
                )
            if self._bug is not Bug.ANSWER_BEFORE_INVALIDATING:
                return
        elif root.wait or any(awaited(proxy, r) for proxy in proxies):
            return
        kind = "answer"
        if any(p.owes and p.root == r and not p.dead for p in proxies):
            kind = "answer after a lease ran out"
        yield (
            Step(
                kind,
                f"{name}: acknowledges {_version_name(root.change, root.policy)} to its caller",
            ),
            State(
                world._replace(
                    acknowledged=max(world.acknowledged, root.change),
                    policy_acknowledged=max(world.policy_acknowledged, root.policy),
                ),
                _put(roots, r, root._replace(stage=IDLE, change=0, policy=0)),
                tuple(self._settled(proxy, r) for proxy in proxies),
            ),
        )

    def _commit(self, state: State, r: int) -> Iterator[Successor]:
        world, roots, _ = state
        root, name = roots[r], f"root coord {r + 1}"
        if root.role != LEADER:
            return
        if self._bug is Bug.REPEAT_ANSWERED_AT_ONCE and world.version > world.acknowledged:
            yield (
                Step("answer", f"{name}: finds the repeated change done and acknowledges it"),
                state._replace(world=world._replace(acknowledged=world.version)),
            )
        holds = world.holder == r
        if holds and world.asked != NONE:
            yield from self._change_by_actor(state, name)
        if not (holds or self._bug is Bug.UNFENCED_WRITE):
            return
        for version, policy in self._next_versions(world):
            overwritten = not holds and max(world.acknowledged, world.policy_acknowledged) > 0
            after = world._replace(
                version=version or world.version,
                policy=policy or world.policy,
                overwritten=int(overwritten),
            )
            changing = root._replace(
                stage=COMMITTED,
                change=version,
                policy=policy,
                seen=version if self.rules.stale_reads else 0,
            )
            made = _version_name(version, policy)
            yield (
                Step("commit", f"{name}: commits {made} in etcd"),
                State(after, _put(roots, r, changing), state.proxies),
            )
            yield (
                Step("commit unknown", f"{name}: commits {made}, the response is lost"),
                state._replace(world=after),
            )

    def _next_versions(self, world: World) -> list[tuple[int, int]]:
        """What a change can make: versions of the user's record and of the policy, 0 for none."""
        if max(world.version, world.policy) == self.rules.changes:
            return []
        version, policy = world.version + 1, world.policy + 1
        if not self.rules.roles:
            return [(version, 0)]
        return [(version, 0), (0, policy), (version, policy)]

    def _notices(self, root: Root) -> list[tuple[int, ...]]:
        """The ways in which a change can be sent to the sessions."""
        of_policy = (POLICY + root.policy,) if root.policy else ()
        of_user = (INVALIDATE + root.change,) if root.change else ()
        if self._bug is Bug.NO_POLICY_NOTICE:
            of_policy = ()
        if self._bug is Bug.NO_MAPPING_NOTICE:
            of_user = ()
        # A role that very many users had.
        everything = [(EVERYTHING,)] if root.change and root.policy else []
        return [of_policy + of_user, *everything]

    def _change_by_actor(self, state: State, name: str) -> Iterator[Successor]:
        """The change that the user asks for, of an account that is not in the model."""
        world = state.world
        has_rights = world.asked_policy in (NONE, world.policy)
        stands = world.version == world.asked and has_rights
        if self._bug is Bug.ACTOR_READ_BEFORE_WRITE:
            if stands and not world.judged:
                step = Step("judge", f"{name}: reads the actor's version {world.asked}")
                yield step, state._replace(world=world._replace(judged=1))
            may = bool(world.judged)
        else:
            may = stands or self._bug is Bug.ACTOR_NOT_JUDGED
            if self._bug is Bug.ACTOR_POLICY_NOT_COMPARED:
                may = world.version == world.asked
        done = world._replace(asked=NONE, asked_policy=NONE, judged=0)
        if may:
            step = Step("actor's change", f"{name}: makes the change of actor {world.asked}")
            yield step, state._replace(world=done._replace(usurped=int(not stands)))
        elif not stands:
            step = Step("actor refused", f"{name}: refuses the change of actor {world.asked}")
            yield step, state._replace(world=done)

    def _step_down(self, state: State, r: int) -> Iterator[Successor]:
        world, roots, proxies = state
        root, name = roots[r], f"root coord {r + 1}"
        waited = root.wait == 0 or self._bug is Bug.HANDOVER_BEFORE_OWN_WAIT
        if root.role == LEADER and waited:
            yield (
                Step("surrender", f"{name}: begins to step down, sends Surrender"),
                _with_root(
                    state._replace(proxies=tuple(sent(p, r, SURRENDER) for p in proxies)),
                    r,
                    root._replace(role=SURRENDERING),
                ),
            )
        if root.role == SURRENDERING and world.holder == r:
            if any(p.root == r and p.granted for p in proxies):
                return
            if any(any(p.orphans[r]) for p in proxies):
                return
            world = world._replace(holder=NONE, election_lease=0, handed_over=1)
            yield (
                Step("handed over", f"{name}: records that no lease is left, and leaves"),
                self._left(state._replace(world=world), r),
            )

    # --- proxy -------------------------------------------------------------

    def _proxy(self, state: State, p: int) -> Iterator[Successor]:
        world, roots, proxies = state
        proxy = proxies[p]
        if self.rules.actors and world.asked == NONE and self._admits(proxy):
            text = f"proxy {p + 1}: admits a change of the actor by version {proxy.cached}"
            if self.rules.roles:
                text += f" and version {proxy.rights} of the policy"
            asked = world._replace(asked=proxy.cached, asked_policy=proxy.rights)
            yield Step("ask", text), state._replace(world=asked)
        found = self._steps.alone(p, proxy)
        if proxy.stage in (CLOSED, EARLY):
            for r in (0, 1):
                root = roots[r]
                if root.role == LEADER and not proxy.outdated[r]:
                    # Of two leaders, the one elected last has the higher term.
                    higher = world.latest == r and roots[1 - r].role != STANDBY
                    for step, after in self._steps.connections(p, proxy, r, world.version, higher):
                        yield step, State(world, roots, _put_proxy(proxies, p, after))
        else:
            root = roots[proxy.root]
            for step, after, seen in self._steps.with_root(
                p,
                proxy,
                root.role,
                root.valid > 0,
                root.seen,
                (root.change, root.policy),
                world.version,
                world.policy,
            ):
                after_roots = roots
                if seen != root.seen:
                    after_roots = _put(roots, proxy.root, root._replace(seen=seen))
                yield step, State(world, after_roots, _put_proxy(proxies, p, after))
        for step, after in found:
            yield step, State(world, roots, _put_proxy(proxies, p, after))


def _has_older_roles(proxy: Proxy, acknowledged: int) -> bool:
    """Whether anything of an older policy than the acknowledged one is left in a proxy."""
    left = (proxy.rights, proxy.rights_fetch, proxy.standing[1])
    return any(NONE < each < acknowledged for each in left)


def _version_name(version: int, policy: int) -> str:
    names = [f"version {version}"] * bool(version) + [f"policy {policy}"] * bool(policy)
    return " with ".join(names)


def _may_have_lease(proxy: Proxy) -> bool:
    orphaned = any(any(of_root) for of_root in proxy.orphans)
    return bool(proxy.lease or proxy.next_lease or proxy.sent or proxy.granted or orphaned)


def _after_restore(proxy: Proxy, version: int) -> Proxy:
    """What it holds of later versions is of none; without a lease it takes any term."""
    return proxy._replace(
        cached=LOST if proxy.cached > version else proxy.cached,
        fetch=LOST if proxy.fetch > version else proxy.fetch,
        outdated=(0, 0),
    )


def _world_later(world: World, ticks: int, behind: int) -> World:
    lease = max(0, world.election_lease - ticks)
    return world._replace(
        election_lease=lease, holder=world.holder if lease else NONE, behind=behind
    )


def _root_later(root: Root, ticks: int) -> Root:
    return root._replace(valid=max(0, root.valid - ticks), wait=max(0, root.wait - ticks))


def _put(roots: tuple[Root, Root], r: int, root: Root) -> tuple[Root, Root]:
    return (root, roots[1]) if r == 0 else (roots[0], root)


def _put_proxy(proxies: tuple[Proxy, ...], p: int, proxy: Proxy) -> tuple[Proxy, ...]:
    return (*proxies[:p], proxy, *proxies[p + 1 :])


def _with_root(state: State, r: int, root: Root) -> State:
    return state._replace(roots=_put(state.roots, r, root))
