"""The steps of one proxy process: alone, and with the root coord its stream leads to.

A session's two ends are kept in one tuple, so what root coord holds about a session
changes here too.
"""

from functools import cache
from typing import Any

from tests.model.rules import Bug, Rules
from tests.model.state import (
    CLOSED,
    EARLY,
    EVERYTHING,
    INVALIDATE,
    LEADER,
    NONE,
    OPEN,
    OPENED,
    OPENING,
    POLICY,
    READY,
    RENEWED,
    STANDBY,
    SURRENDER,
    SYNCING,
    Proxy,
    Step,
)

#: A step of one proxy: its label, the proxy after it, and what its root coord has seen.
ProxyStep = tuple[Step, Proxy, int]


class ProxySteps:
    """What proxies can do under one set of rules.

    The same proxy recurs in very many states, so every answer is worked out once.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._bug = rules.bug
        self.alone = cache(self._find_own)
        self.with_root = cache(self._find_with_root)
        self.connections = cache(self._find_connections)
        self.term_over = cache(self._lost_term)

    def _lost_term(self, proxy: Proxy, r: int) -> Proxy:
        return self._tidy(_term_over(proxy, r), "term over")

    def _find_own(self, p: int, proxy: Proxy) -> list[tuple[Step, Proxy]]:
        """Steps that need no root coord."""
        name, steps = f"proxy {p + 1}", []
        if proxy.fetch != NONE:
            steps.append(
                (
                    Step("fetched", f"{name}: receives its fetch's reply, version {proxy.fetch}"),
                    self._fetched(proxy),
                )
            )
            steps.append(
                (
                    Step("fetch lost", f"{name}: the reply of its fetch is lost"),
                    proxy._replace(fetch=NONE, fetch_root=NONE),
                )
            )
        if self._rules.roles:
            steps += self._own_steps_of_roles(name, proxy)
        if proxy.stage == SYNCING:
            steps.append(
                (
                    Step("synced", f"{name}: receives the answer of SyncRevisions"),
                    _synced(proxy),
                )
            )
        if proxy.stage not in (CLOSED, EARLY):
            lost = self._hung_up(proxy)
            steps.append(
                (
                    Step("notice" if proxy.dead else "break", f"{name}: its stream breaks"),
                    _closed(lost),
                )
            )
            if self._rules.half_open and not proxy.dead:
                steps.append(
                    (
                        Step("root break", f"{name}: its stream breaks, it has not noticed yet"),
                        lost._replace(dead=1),
                    )
                )
        if self._bug is Bug.CLOCK_READ_BEFORE_REQUEST and proxy.lease:
            steps.append(
                (
                    Step("glance", f"{name}: looks at its clock, the lease is valid; then pauses"),
                    proxy._replace(glance=1),
                )
            )
        if proxy.late_ack:
            steps.append(
                (
                    Step("late", f"{name}: an acknowledgement sent earlier arrives at root coord"),
                    proxy._replace(late_ack=0, owes=0),
                )
            )
        orphans = self._hung_up(proxy).orphans
        steps.append(
            (
                Step("proxy crash", f"{name}: is killed and started again"),
                Proxy(orphans=orphans, late_ack=proxy.late_ack),
            )
        )
        return [(step, self._tidy(after, step.kind)) for step, after in steps]

    def _own_steps_of_roles(self, name: str, proxy: Proxy) -> list[tuple[Step, Proxy]]:
        steps = []
        if proxy.rights_fetch != NONE:
            text = f"{name}: receives roles, policy {proxy.rights_fetch}"
            after = proxy._replace(rights=proxy.rights_fetch, rights_fetch=NONE)
            steps.append((Step("roles fetched", text), after))
            text = f"{name}: the reply with roles is lost"
            steps.append((Step("fetch lost", text), proxy._replace(rights_fetch=NONE)))
        if proxy.late_policy:
            step = Step("late", f"{name}: applies Policy({proxy.late_policy})")
            steps.append((step, self._without_roles(proxy, proxy.late_policy)))
        found = (proxy.cached, proxy.rights)
        if self._bug is Bug.OLD_DECISION_KEPT and proxy.lease and NONE not in found:
            step = Step(
                "begin", f"{name}: looks up versions {found} for a call, which comes slowly"
            )
            steps.append((step, proxy._replace(standing=found)))
        return steps

    def _find_connections(
        self,
        p: int,
        proxy: Proxy,
        r: int,
        version: int,
        higher: bool,  # noqa: FBT001 - the memo takes positions only
    ) -> list[tuple[Step, Proxy]]:
        name = f"proxy {p + 1}"
        if (
            self._bug is Bug.SYNC_BEFORE_REGISTERING
            and proxy.stage == CLOSED
            and proxy.cached != NONE
        ):
            step = Step("sync", f"{name}: root coord {r + 1} compares its revisions")
            after = proxy._replace(stage=EARLY, keep=int(proxy.cached == version))
            return [(step, self._tidy(after, step.kind))]
        orphans, outdated = proxy.orphans, proxy.outdated
        if self._bug is Bug.SUPERSEDED_BY_ID:
            orphans = ((0, 0), orphans[1]) if r == 0 else (orphans[0], (0, 0))
        if higher and self._bug is not Bug.LOWER_TERM_ACCEPTED:
            outdated = (0, 1) if r == 0 else (1, 0)
        step = Step("connect", f"{name}: opens a session, root coord {r + 1} registers it")
        after = proxy._replace(
            stage=OPENING, root=r, down=(OPENED,), orphans=orphans, outdated=outdated
        )
        return [(step, self._tidy(after, step.kind))]

    def _find_with_root(  # noqa: PLR0917 - the memo takes positions only
        self,
        p: int,
        proxy: Proxy,
        role: int,
        valid: bool,  # noqa: FBT001 - the same
        seen: int,
        change: tuple[int, int],
        version: int,
        policy: int,
    ) -> list[ProxyStep]:
        """Steps of a proxy with the root coord that its stream leads to."""
        name, root_name = f"proxy {p + 1}", f"root coord {proxy.root + 1}"
        steps: list[ProxyStep] = []
        if proxy.down:
            steps.append((*self._receive(name, proxy, change), seen))
        opened = proxy.stage in (OPEN, SYNCING, READY)
        renews = valid or self._bug is Bug.RENEWS_WHEN_DEPOSED
        if opened and role == LEADER and renews and not proxy.dead and RENEWED not in proxy.down:
            margin = 0 if self._bug is Bug.NO_CLOCK_MARGIN else self._rules.margin
            lease_ttl = self._rules.lease_ttl_of(proxy.root)
            steps.append(
                (
                    Step("renew", f"{name}: sends Renew; {root_name} grants it and sends Renewed"),
                    proxy._replace(
                        granted=lease_ttl,
                        sent=lease_ttl - margin,
                        down=(*proxy.down, RENEWED),
                    ),
                    seen,
                )
            )
        if opened and role != STANDBY and not proxy.over:
            if self._needs_roles(proxy):
                step = Step("fetch roles", f"{name}: {root_name} reads roles, policy {policy}")
                steps.append((step, proxy._replace(rights_fetch=policy), seen))
            for read in self._reads(seen, version):
                stale = " (a stale read)" if read < version else ""
                after_seen = max(seen, read) if self._rules.stale_reads else 0
                if proxy.fetch == NONE and not (self._rules.roles and proxy.cached != NONE):
                    steps.append(
                        (
                            Step(
                                "fetch", f"{name}: fetches, {root_name} reads version {read}{stale}"
                            ),
                            proxy._replace(fetch=read, fetch_root=proxy.root),
                            after_seen,
                        )
                    )
                if proxy.stage == OPEN:
                    newer_kept = self._bug is Bug.NEWER_THAN_STORE_KEPT and proxy.cached > read
                    keep = int(proxy.cached == read or newer_kept)
                    if self._bug is Bug.MAPPINGS_NOT_COMPARED:
                        keep = int(proxy.cached != NONE)
                    text = f"{name}: asks SyncRevisions, {root_name} reads version {read}{stale}"
                    steps.append(
                        (
                            Step("sync", text),
                            self._without_roles_of_earlier_session(proxy)._replace(
                                stage=SYNCING, keep=keep
                            ),
                            after_seen,
                        )
                    )
        return [(step, self._tidy(after, step.kind), read) for step, after, read in steps]

    def _needs_roles(self, proxy: Proxy) -> bool:
        """Whether a call makes the proxy read roles: of a user whose record it has."""
        is_held = proxy.rights != NONE or proxy.rights_fetch != NONE
        return self._rules.roles and proxy.cached != NONE and not is_held

    def _reads(self, seen: int, version: int) -> range:
        if not self._rules.stale_reads:
            return range(version, version + 1)
        return range(0 if self._bug is Bug.STALE_READ_ACCEPTED else seen, version + 1)

    def _receive(self, name: str, proxy: Proxy, change: tuple[int, int]) -> tuple[Step, Proxy]:
        message, rest = proxy.down[0], proxy.down[1:]
        proxy = proxy._replace(down=rest)
        if message == OPENED:
            return Step("opened", f"{name}: receives Opened"), self._opened(proxy)
        if message == RENEWED:
            lease = proxy.sent
            if self._bug is Bug.LEASE_FROM_RECEIPT:
                lease = self._rules.lease_ttl_of(proxy.root) - self._rules.margin
            step = Step("renewed", f"{name}: receives Renewed, {lease} ticks are left of it")
            if proxy.stage == READY or self._bug is Bug.LEASE_BEFORE_SYNC:
                return step, proxy._replace(sent=0, lease=max(proxy.lease, lease))
            return step, proxy._replace(sent=0, next_lease=max(proxy.next_lease, lease))
        if message == SURRENDER:
            # On a dead stream root coord does not learn of it: it waits for the lease.
            voided = proxy._replace(lease=0, next_lease=0, granted=0, owes=0)
            return Step("void", f"{name}: receives Surrender, voids its lease"), _closed(voided)
        return self._invalidated(name, proxy, message, change)

    def _opened(self, proxy: Proxy) -> Proxy:
        # A new epoch: what was fetched before is not trusted, what is in flight is lost.
        if self._bug is not Bug.FETCH_BOUND_BY_TERM_ONLY:
            proxy = proxy._replace(fetch=NONE, fetch_root=NONE, rights_fetch=NONE)
        early = self._bug is Bug.SYNC_BEFORE_REGISTERING and proxy.cached != NONE
        return proxy._replace(confirmed=0, stage=SYNCING if early else OPEN)

    def _invalidated(
        self, name: str, proxy: Proxy, message: int, change: tuple[int, int]
    ) -> tuple[Step, Proxy]:
        text = f"{name}: applies {notice_name(message)}, acknowledges"
        if message == EVERYTHING:
            step, last = Step("everything applied", text), 0 not in change
            proxy = self._without_user(proxy, proxy.cached + 1, proxy.fetch + 1)
            if self._bug is not Bug.EVERYTHING_BUT_ROLES:
                proxy = proxy._replace(rights=NONE, rights_fetch=NONE)
        elif message > POLICY:
            policy = message - POLICY
            # If the user's record changes with it, that notice is the last one.
            step, last = Step("policy applied", text), not change[0] and policy >= change[1]
            if self._bug is Bug.ROLES_ACKNOWLEDGED_FIRST:
                proxy = proxy._replace(late_policy=policy)
            elif self._bug is not Bug.POLICY_NOTICE_IGNORED:
                proxy = self._without_roles(proxy, policy)
        else:
            version = message - INVALIDATE
            step, last = Step("invalidated", text), 0 < change[0] <= version
            if self._bug is not Bug.MAPPING_NOTICE_IGNORED:
                proxy = self._without_user(proxy, version, version)
        if not last or proxy.dead:
            return step, proxy
        if self._bug is Bug.ACKNOWLEDGED_BY_ID:
            return step, proxy._replace(late_ack=1)
        return step, proxy._replace(owes=0)

    def _without_user(self, proxy: Proxy, version: int, floor: int) -> Proxy:
        if proxy.cached < version:
            proxy = proxy._replace(cached=NONE)
        if proxy.fetch < floor and self._bug is not Bug.NO_FLOOR:
            # The floor will refuse this reply: the same as if it were lost now.
            proxy = proxy._replace(fetch=NONE, fetch_root=NONE)
        return proxy

    def _without_roles(self, proxy: Proxy, policy: int) -> Proxy:
        if proxy.rights < policy:
            proxy = proxy._replace(rights=NONE)
        if proxy.rights_fetch < policy and self._bug is not Bug.POLICY_FLOOR_NOT_RAISED:
            proxy = proxy._replace(rights_fetch=NONE)
        return proxy._replace(late_policy=0)

    def _without_roles_of_earlier_session(self, proxy: Proxy) -> Proxy:
        if self._bug is Bug.RESYNC_KEEPS_ROLES:
            return proxy
        return proxy._replace(rights=NONE, rights_fetch=NONE)

    def _fetched(self, proxy: Proxy) -> Proxy:
        after = proxy._replace(fetch=NONE, fetch_root=NONE)
        if self._bug is Bug.FETCH_BOUND_BY_TERM_ONLY and (
            proxy.fetch_root != proxy.root or proxy.over
        ):
            return after
        return after._replace(cached=proxy.fetch, confirmed=1)

    def _hung_up(self, proxy: Proxy) -> Proxy:
        """The stream is gone; at root coord its lease counts until it has run out."""
        orphans = proxy.orphans
        if proxy.granted and self._bug is not Bug.BROKEN_STREAM_FORGOTTEN:
            waited, free = orphans[proxy.root]
            if proxy.owes:
                waited = max(waited, proxy.granted)
            else:
                free = max(free, proxy.granted)
            mine = (waited, free)
            orphans = (mine, orphans[1]) if proxy.root == 0 else (orphans[0], mine)
        return proxy._replace(granted=0, owes=0, orphans=orphans)

    def _tidy(self, proxy: Proxy, kind: str) -> Proxy:
        """Forget what can have no effect any more, so that equal states look equal."""
        if proxy.dead and not proxy.next_lease and RENEWED not in proxy.down:
            # Whatever else may still arrive only takes trust away.
            proxy = _closed(proxy)
        changes: dict[str, Any] = {}
        if proxy.glance and kind != "glance":
            changes["glance"] = 0
        if proxy.cached == NONE or proxy.stage in (CLOSED, OPENING, EARLY):
            changes["confirmed"] = int(proxy.cached != NONE)
        if proxy.cached == NONE or (proxy.confirmed and proxy.stage in (OPEN, SYNCING)):
            changes["keep"] = 0
        if proxy.stage == CLOSED:
            changes["keep"] = changes["sent"] = changes["next_lease"] = 0
        if RENEWED not in proxy.down:
            changes["sent"] = 0
        if self._bug is not Bug.FETCH_BOUND_BY_TERM_ONLY:
            changes["fetch_root"] = NONE
        return proxy._replace(**changes)


def _closed(proxy: Proxy) -> Proxy:
    return proxy._replace(stage=CLOSED, root=NONE, dead=0, over=0, down=())


def _synced(proxy: Proxy) -> Proxy:
    if not proxy.confirmed and not proxy.keep:
        proxy = proxy._replace(cached=NONE)
    return proxy._replace(
        stage=READY,
        keep=0,
        confirmed=int(proxy.cached != NONE),
        lease=max(proxy.lease, proxy.next_lease),
        next_lease=0,
    )


def awaited(proxy: Proxy, r: int) -> bool:
    """Whether root coord `r` must wait for this proxy before it answers its change."""
    if proxy.root == r and not proxy.dead and proxy.owes and proxy.granted:
        return True
    return proxy.orphans[r][0] > 0


def sent(proxy: Proxy, r: int, message: int) -> Proxy:
    if proxy.stage in (CLOSED, EARLY) or proxy.root != r or proxy.dead:
        return proxy
    return proxy._replace(down=(*proxy.down, message))


def notice_name(message: int) -> str:
    """A notice as a reader knows it."""
    if message == EVERYTHING:
        return "Everything"
    if message > POLICY:
        return f"Policy({message - POLICY})"
    return f"Invalidate({message - INVALIDATE})"


def told(proxy: Proxy, r: int, notices: tuple[int, ...]) -> Proxy:
    """The proxy when root coord `r` has sent the notices of a change to every session."""
    waited, free = proxy.orphans[r]
    mine = (max(waited, free), 0)
    orphans = (mine, proxy.orphans[1]) if r == 0 else (proxy.orphans[0], mine)
    proxy = proxy._replace(orphans=orphans)
    proxy_told = proxy
    for notice in notices:
        proxy_told = sent(proxy_told, r, notice)
    return proxy_told if proxy_told is proxy else proxy_told._replace(owes=1)


def settled(proxy: Proxy, r: int) -> Proxy:
    """The proxy when root coord `r` has no change under way any more."""
    waited, free = proxy.orphans[r]
    mine = (0, max(waited, free))
    orphans = (mine, proxy.orphans[1]) if r == 0 else (proxy.orphans[0], mine)
    return proxy._replace(orphans=orphans, owes=0 if proxy.root == r else proxy.owes)


def _term_over(proxy: Proxy, r: int) -> Proxy:
    """The proxy when root coord `r` has lost everything that it knew of it."""
    orphans = ((0, 0), proxy.orphans[1]) if r == 0 else (proxy.orphans[0], (0, 0))
    # The next term of this root coord will be higher than any before.
    outdated = (0, proxy.outdated[1]) if r == 0 else (proxy.outdated[0], 0)
    proxy = proxy._replace(orphans=orphans, outdated=outdated)
    if proxy.fetch_root == r:
        proxy = proxy._replace(fetch_root=NONE)
    if proxy.root != r:
        return proxy
    return proxy._replace(dead=1, over=1, granted=0, owes=0)


def later(proxy: Proxy, own: int, first: int) -> Proxy:
    """The proxy after `own` ticks of its clock, `first` of root coord 1's, one of 2's."""
    roots = (first, 1)
    one, two = (
        (max(0, waited - ticks), max(0, free - ticks))
        for (waited, free), ticks in zip(proxy.orphans, roots, strict=True)
    )
    return proxy._replace(
        lease=max(0, proxy.lease - own),
        next_lease=max(0, proxy.next_lease - own),
        sent=max(0, proxy.sent - own),
        granted=max(0, proxy.granted - roots[max(0, proxy.root)]),
        orphans=(one, two),
    )
