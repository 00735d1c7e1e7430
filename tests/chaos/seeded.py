"""Bugs on purpose: each takes one guard of the protocol away, in this process only.

`python -m tests.chaos.proxy` and `python -m tests.chaos.root_coord` apply the one that
VECGUARD_SEEDED names before they start the real service. Each imports what it changes by
itself, so that a proxy does not load root coord.
"""

import asyncio
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

    async def invalidate(self: Any, invalidation: Any) -> None:
        self._send(invalidation)

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
        return Compare.create_revision(self.key, ">", -1)

    _replace(Fence, "condition", property(always))
    _replace(Fence, "require", lambda self, answer: None)


def broken_stream_forgotten() -> None:
    """A session whose stream broke is not waited for."""
    from vecguard.root_coord.session_state import SessionState  # noqa: PLC0415 - see above

    def disconnect(self: Any, proxy_id: str) -> list[int]:
        return self.release(proxy_id)

    _replace(SessionState, "disconnect", disconnect)


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
    )
}


def apply_from_environment() -> None:
    """Takes the guard away that the environment names, if any."""
    name = os.environ.get(VARIABLE)
    if name:
        _BUGS[name]()
