"""An authorizer of a test, whose permissions decide as they are told."""

import asyncio

from vecguard.errors import VecguardError
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.reception import Authorizer


class ScriptedPermission(Permission):
    """Decides as its authorizer says. `seen` is what it has read of the request."""

    def __init__(self, script: "ScriptedAuthorizer") -> None:
        self._script = script
        self.is_given = False
        self.reads_request = script.reads_request
        self.seen = b""
        self.decisions = 0

    def read(self, payload) -> None:
        self.seen += payload
        if self._script.misread is not None and self._script.misread in self.seen:
            raise self._script.error

    def passes_part(self) -> None:
        if self._script.part_error is not None:
            raise self._script.part_error

    def decide(self) -> None:
        self.decisions += 1
        if not self._script.is_late:
            self._judge()

    async def wait(self) -> None:
        await self._script.gate.wait()
        self._judge()

    async def judge_again(self) -> None:
        self._judge()

    def _judge(self) -> None:
        if self._script.error is not None:
            raise self._script.error
        self.is_given = True


class ScriptedAuthorizer(Authorizer):
    """Makes one permission for each call.

    Attributes:
        is_late: whether decisions wait for `gate`.
        error: refuses every call; with `misread`, as soon as these bytes were read.
        part_error: refuses requests that do not come as a whole.
        permissions: those that were made.
    """

    def __init__(
        self,
        *,
        reads_request: bool = True,
        is_late: bool = False,
        error: VecguardError | None = None,
        part_error: VecguardError | None = None,
        misread: bytes | None = None,
    ) -> None:
        self.reads_request = reads_request
        self.is_late = is_late
        self.error = error
        self.part_error = part_error
        self.misread = misread
        self.gate = asyncio.Event()
        self.permissions = []

    def permission(self, principal, head, client, call):
        permission = ScriptedPermission(self)
        self.permissions.append(permission)
        return permission
