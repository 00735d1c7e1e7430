"""Refuses Milvus's RPCs for roles and privileges, which are not implemented yet."""

from typing import TYPE_CHECKING, Any

from betterproto.lib.google.protobuf import Empty
from grpclib.const import Cardinality, Handler

from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.proxy.accounts.errors import AccountError
from vecguard.proxy.accounts.methods import UNSERVED
from vecguard.proxy.accounts.status import failure

if TYPE_CHECKING:
    from grpclib.server import Stream

_SERVICE_UNIMPLEMENTED = 10
# Their replies have the status in field 1, as this message does; the status is the whole reply
# of the others.
_WRAPPED = pb.ListCredUsersResponse
_WITH_WRAPPED_STATUS = ("BackupRBAC", "ListPrivilegeGroups")


class UnservedRoleError(AccountError):
    """Roles and privileges cannot be changed yet."""

    reason = "unserved"
    code = _SERVICE_UNIMPLEMENTED

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method}: roles and privileges cannot be changed here yet: service unimplemented"
        )


class UnservedRoles:
    """Refuses calls in the reply's Status.

    The gRPC status UNIMPLEMENTED would be read as success: Milvus's Node SDK turns it into an
    empty object.
    """

    def __mapping__(self) -> dict[str, Handler]:
        return {path.decode(): _refusal(path, legacy) for path, legacy in UNSERVED.items()}


def _refusal(path: bytes, legacy: int) -> Handler:
    method = path.decode().rpartition("/")[2]
    status = failure(UnservedRoleError(method))
    status.error_code = common.ErrorCode(legacy)
    reply = _WRAPPED(status=status) if method in _WITH_WRAPPED_STATUS else status

    async def refuse(stream: "Stream[Any, Any]") -> None:
        await stream.recv_message()
        await stream.send_message(reply)

    # Every request can be read as Empty; its fields are not needed.
    return Handler(refuse, Cardinality.UNARY_UNARY, Empty, type(reply))
