"""Bugs on purpose: each takes one guard of the protocol away, in this process only.

`python -m tests.chaos.proxy` and `python -m tests.chaos.root_coord` apply the one that
VECGUARD_SEEDED names before they start the real service. Each imports what it changes by
itself, so that a proxy does not load root coord.
"""

import asyncio
import copy
import os
from collections.abc import Callable
from typing import Any

VARIABLE = "VECGUARD_SEEDED"
_LATE_SECONDS = 0.3


def _replace(owner: type, name: str, guardless: Any) -> None:
    # A bug that replaces nothing would prove nothing.
    if not hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} has no {name} to replace")
    setattr(owner, name, guardless)


def no_floor() -> None:
    """A fetch that an invalidation has overtaken is stored all the same."""
    from vecguard.proxy.authentication.credentials import CredentialCache  # noqa: PLC0415 - see above

    def invalidate(self: Any, username: str, revision: float) -> None:
        held = self.peek(username)
        if held is not None and held.read_revision < revision:
            self._drop(username)

    _replace(CredentialCache, "invalidate", invalidate)


def no_lease_check() -> None:
    """Caches decide without a lease."""
    from vecguard.proxy.revocation.trust import StrictTrust  # noqa: PLC0415 - see above

    _replace(StrictTrust, "is_valid", lambda self, now=None: True)


def lease_from_receipt() -> None:
    """The lease is counted from the answer, not from the sending of the renewal."""
    from vecguard.boot_clock import boot_clock  # noqa: PLC0415 - see above
    from vecguard.proxy.revocation.lease import Lease  # noqa: PLC0415 - see above

    original = Lease.renewed

    def renewed(self: Any, number: int) -> None:
        if number in self._sent:
            self._sent[number] = boot_clock()
        original(self, number)

    _replace(Lease, "renewed", renewed)


def acknowledge_before_invalidating() -> None:
    """A proxy acknowledges a notice and applies it a little later."""
    from vecguard.proxy.revocation.revocations import Revocations  # noqa: PLC0415 - see above

    original = Revocations.invalidate

    def invalidate(self: Any, username: str, revision: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(_LATE_SECONDS, original, self, username, revision)

    _replace(Revocations, "invalidate", invalidate)


def answer_before_acknowledgements() -> None:
    """A change is answered when the notices are sent."""
    from vecguard.root_coord.session_hub import SessionHub  # noqa: PLC0415 - see above

    async def invalidate(self: Any, *revocations: Any) -> None:
        for each in revocations:
            self._send(each)

    _replace(SessionHub, "invalidate", invalidate)


def no_leader_wait() -> None:
    """A new leader does not wait for the leases of its predecessor."""
    from vecguard.root_coord.election import Leadership  # noqa: PLC0415 - see above

    original = Leadership.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs | {"earlier_lease_seconds": None})

    _replace(Leadership, "__init__", init)


def unfenced_write() -> None:
    """A deposed leader can still write."""
    from vecguard.etcd import Compare  # noqa: PLC0415 - see above
    from vecguard.root_coord.store.fence import Fence  # noqa: PLC0415 - see above

    def always(self: Any) -> Compare:
        return Compare.create_revision(self.key, "<", 2**62)

    _replace(Fence, "condition", property(always))
    _replace(Fence, "require", lambda self, answer: None)


def broken_stream_forgotten() -> None:
    """A session whose stream broke is not waited for."""
    from vecguard.root_coord.session_state import SessionState  # noqa: PLC0415 - see above

    def disconnect(self: Any, proxy_id: str) -> list[int]:
        return self.release(proxy_id)

    _replace(SessionState, "disconnect", disconnect)


def roles_kept() -> None:
    """A change of grants drops no roles that are held."""
    from vecguard.proxy.permissions.role_cache import RoleCache  # noqa: PLC0415 - see above

    def invalidate(self: Any, revision: int) -> None:
        self._floor = max(self._floor, revision)

    _replace(RoleCache, "invalidate", invalidate)


def no_role_floor() -> None:
    """Roles that a change of grants has overtaken on their way are stored all the same."""
    from vecguard.proxy.permissions.role_cache import RoleCache  # noqa: PLC0415 - see above

    original = RoleCache.invalidate

    def invalidate(self: Any, revision: int) -> None:
        original(self, revision)
        self._floor = 0

    _replace(RoleCache, "invalidate", invalidate)


def mapping_kept() -> None:
    """A change of a user's roles does not drop the user's record."""
    from vecguard.proxy.revocation.revocations import Revocations  # noqa: PLC0415 - see above

    def change_roles_of(self: Any, username: str, revision: int) -> None:
        self.judge_open_calls(username)

    _replace(Revocations, "change_roles_of", change_roles_of)


def acknowledge_before_roles_changed() -> None:
    """A proxy acknowledges a notice about roles and applies it a little later."""
    from vecguard.proxy.root_coord.session import Session  # noqa: PLC0415 - see above

    original = Session._apply
    late: set[asyncio.Task[None]] = set()

    async def apply(self: Any, notice: Any, term: int) -> None:
        async def wait_and_apply() -> None:
            await asyncio.sleep(_LATE_SECONDS)
            await original(self, notice, term)

        task = asyncio.create_task(wait_and_apply())
        late.add(task)
        task.add_done_callback(late.discard)

    _replace(Session, "_apply", apply)


def old_decision_kept() -> None:
    """A call is decided by the rights that its user had when its head came."""
    from vecguard.proxy.permissions.authorizer import RoleAuthorizer  # noqa: PLC0415 - see above
    from vecguard.proxy.permissions.role_cache import RoleCache  # noqa: PLC0415 - see above

    _replace(RoleAuthorizer, "is_current", lambda self, standing: True)
    # Rights that are dropped allow nothing, so a call would be refused without that guard.
    _replace(RoleCache, "_drop", lambda self, roles: self._held.pop(roles, None))


def roles_kept_by_new_session() -> None:
    """A new session keeps the roles that were read under an earlier one."""
    from vecguard.proxy.revocation.revocations import Revocations  # noqa: PLC0415 - see above

    _replace(Revocations, "forget_roles", lambda self: None)


def mappings_kept_by_new_session() -> None:
    """A new session keeps the records of users whose roles have changed."""
    from vecguard.root_coord.service import RootCoordService  # noqa: PLC0415 - see above

    original = RootCoordService.sync_revisions

    async def sync_revisions(self: Any, *args: Any, **kwargs: Any) -> Any:
        reply = await original(self, *args, **kwargs)
        reply.roles_changed = []
        return reply

    _replace(RootCoordService, "sync_revisions", sync_revisions)


def no_policy_notice() -> None:
    """Root coord does not send that grants have changed."""
    from vecguard.root_coord.session_state import PolicyInvalidation  # noqa: PLC0415 - see above

    _without_notices(lambda each: isinstance(each, PolicyInvalidation))


def no_mapping_notice() -> None:
    """Root coord does not send that a user's roles have changed."""
    from vecguard.root_coord.session_state import Invalidation  # noqa: PLC0415 - see above

    _without_notices(lambda each: isinstance(each, Invalidation) and each.roles_only)


def _without_notices(is_left_out: Callable[[Any], bool]) -> None:
    from vecguard.root_coord.session_hub import SessionHub  # noqa: PLC0415 - see above

    original = SessionHub._send
    original_settle = SessionHub._settle

    def send(self: Any, content: Any) -> Any:
        return None if is_left_out(content) else original(self, content)

    async def settle(self: Any, notice: Any) -> None:
        if notice is not None:
            await original_settle(self, notice)

    original_invalidate = SessionHub.invalidate

    async def invalidate(self: Any, *revocations: Any) -> None:
        sent = [each for each in revocations if not is_left_out(each)]
        await original_invalidate(self, *sent)

    _replace(SessionHub, "invalidate", invalidate)
    # The watch of the store would otherwise send it a moment later.
    _replace(SessionHub, "_send", send)
    _replace(SessionHub, "_settle", settle)


def unfenced_roles() -> None:
    """A deposed leader can still write roles."""
    from vecguard.etcd import Compare  # noqa: PLC0415 - see above
    from vecguard.root_coord.store.roles import EtcdRoleStore  # noqa: PLC0415 - see above

    original = EtcdRoleStore.__init__

    class NoFence:
        def __init__(self, fence: Any) -> None:
            self.question = fence.question
            self.condition = Compare.create_revision(fence.key, "<", 2**62)

        def require(self, answer: object) -> None:
            """Lets it pass."""

    def init(self: Any, client: Any, keys: Any, writes: Any, catalogue: Any) -> None:
        unfenced = copy.copy(writes)
        unfenced._fence = NoFence(writes._fence)
        original(self, client, keys, unfenced, catalogue)

    _replace(EtcdRoleStore, "__init__", init)


_BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        no_floor,
        no_lease_check,
        lease_from_receipt,
        acknowledge_before_invalidating,
        answer_before_acknowledgements,
        no_leader_wait,
        unfenced_write,
        broken_stream_forgotten,
        roles_kept,
        no_role_floor,
        mapping_kept,
        acknowledge_before_roles_changed,
        old_decision_kept,
        roles_kept_by_new_session,
        mappings_kept_by_new_session,
        no_policy_notice,
        no_mapping_notice,
        unfenced_roles,
    )
}


def apply_from_environment() -> None:
    """Takes the guard away that the environment names, if any."""
    name = os.environ.get(VARIABLE)
    if name:
        _BUGS[name]()
