"""Applies revocations in this proxy: drops cached records and ends open calls."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Final

from vecguard.errors import VecguardError
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.authorization.errors import PermissionChangedError
from vecguard.proxy.permissions.role_cache import RoleCache
from vecguard.proxy.relay.calls.open_calls import Call, OpenCalls
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.unexpected import unexpected_error

# How long an open call may continue by the older roles while the new ones are read.
_JUDGING_SECONDS: Final = 1.0
# So that a second is enough for many users whose roles differ, each with a read of its own.
_JUDGED_TOGETHER: Final = 100


class Revocations:
    """Applies invalidations to the caches and to the open calls.

    Attributes:
        applied: how many invalidations of one user or of everything were applied.
        calls_ended: how many open calls they have ended.
        calls_unconfirmed: how many open calls were ended because the lease was over.
    """

    def __init__(
        self,
        credentials: CredentialCache,
        logins: Logins,
        roles: RoleCache,
        open_calls: OpenCalls,
    ) -> None:
        self._credentials = credentials
        self._logins = logins
        self._roles = roles
        self._open_calls = open_calls
        self._unjudged: set[str] = set()
        self._everyone_is_unjudged = False
        self._judging: asyncio.Task[None] | None = None
        self.applied = 0
        self.calls_ended = 0
        self.calls_unconfirmed = 0

    def invalidate(self, username: str, revision: int) -> None:
        """Drops everything of this user that is older than `revision`."""
        self.invalidate_stale((username,), revision)

    def invalidate_stale(self, usernames: Iterable[str], revision: int) -> None:
        """Drops everything of these users that is older than `revision`, and ends their calls."""
        users = frozenset(usernames)
        self._credentials.invalidate_stale(users, revision)
        self.calls_ended += self._open_calls.end_older(users, revision, RevokedError())
        self.applied += len(users)

    def change_roles_of(self, username: str, revision: int) -> None:
        """Drops what was read of a user before `revision`, and judges the user's calls again.

        The user's logins hold.
        """
        self.forget_roles_of((username,), revision)
        self.judge_open_calls(username)

    def change_policy(self, revision: int) -> None:
        """Drops the roles that were read before `revision`, and judges all calls again."""
        self._roles.invalidate(revision)
        self.applied += 1
        self.judge_open_calls()

    def forget_roles_of(self, usernames: Iterable[str], revision: int) -> None:
        """Drops what was read of these users before `revision`. Their logins hold."""
        users = frozenset(usernames)
        self._credentials.invalidate_stale(users, revision)
        self.applied += len(users)

    def forget_roles(self) -> None:
        """Drops the grants of all roles."""
        self._roles.invalidate_all()

    def judge_open_calls(self, username: str | None = None) -> None:
        """Ends the open calls that their user, or any user, may not make any more.

        That happens in a task of its own, because the new roles must be read first: the next
        notices, and the renewals of the lease, need not wait for it. Changes that follow each
        other are judged together. A call also ends if the new roles cannot be read within a second.
        """
        if username is None:
            self._everyone_is_unjudged = True
        else:
            self._unjudged.add(username)
        if self._judging is None or self._judging.done():
            self._judging = asyncio.get_running_loop().create_task(self._judge_open_calls())

    async def _judge_open_calls(self) -> None:
        while self._everyone_is_unjudged or self._unjudged:
            usernames = None if self._everyone_is_unjudged else frozenset(self._unjudged)
            self._everyone_is_unjudged = False
            self._unjudged.clear()
            deadline = asyncio.get_running_loop().time() + _JUDGING_SECONDS
            open_calls = self._open_calls.with_permission(usernames)
            while together := tuple(islice(open_calls, _JUDGED_TOGETHER)):
                async with asyncio.TaskGroup() as tasks:
                    for call, permission in together:
                        tasks.create_task(self._judge(call, permission, deadline))

    async def _judge(self, call: Call, permission: Permission, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await permission.judge_again()
        except VecguardError as error:
            self.calls_ended += call.revoke(error)
        except TimeoutError:
            self.calls_ended += call.revoke(PermissionChangedError())
        except Exception as error:  # noqa: BLE001 - logged, and the call gets the error
            self.calls_ended += call.revoke(unexpected_error(error))

    def invalidate_all(self) -> None:
        """Drops every cached record, and the grants of all roles.

        Open calls stay: the caller compares their revisions.
        """
        self._credentials.invalidate_all()
        self._roles.invalidate_all()
        self.applied += 1

    def start_afresh(self) -> None:
        """Drops everything, because the store went back to an older state and reuses revisions.

        A revision seen before may now belong to another password, so the verdicts about logins
        are dropped as well, and every call of a user ends.
        """
        self._credentials.start_afresh()
        self._roles.start_afresh()
        self._logins.clear()
        self.calls_ended += self._open_calls.end_identified(RevokedError())
        self.applied += 1

    def end_unconfirmed(self, reason: VecguardError) -> int:
        """Ends the open calls of all users with `reason`. Returns how many.

        For a proxy that can no longer know whether their logins still hold.
        """
        ended = self._open_calls.end_identified(reason)
        self.calls_unconfirmed += ended
        return ended

    @property
    def newest_read(self) -> int:
        """The highest revision of the store at which anything was read; 0 before that."""
        return max(self._credentials.newest_read, self._roles.newest_read)

    def held(self) -> list[tuple[str, int, tuple[str, ...]]]:
        """Returns every user that is cached or has an open call.

        With each user are the revision that is relied on, and the cached roles.
        """
        cached = {record.username: record for record in self._credentials.held()}
        held = {(record.username, record.revision, record.roles) for record in cached.values()}
        for user in self._open_calls.users():
            record = cached.get(user.username)
            held.add((user.username, user.revision, () if record is None else record.roles))
        return list(held)
