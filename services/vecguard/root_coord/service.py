"""Serves root coord's gRPC calls: translates messages and leaves decisions to the current term."""

from collections.abc import Callable
from typing import Any

import betterproto
from grpclib.const import Handler
from grpclib.server import Stream

from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.codec import HotCodec
from vecguard.grpc.compression import IDENTITY
from vecguard.grpc.credentials import hash_from_wire, hash_to_wire
from vecguard.grpc.server import GrpcServer, PeerCertificate, current_caller
from vecguard.passwords import DUMMY_HASH
from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.answers import Changed
from vecguard.root_coord.collection_service import CollectionService
from vecguard.root_coord.role_service import RoleService, described
from vecguard.root_coord.session_wire import decode_request

_SESSION = "/vecguard.internal.v1.RootCoord/Session"


class RootCoordService(RoleService, CollectionService):
    """Answers the calls of proxies.

    Every method raises StandbyError on standby.
    """

    def __mapping__(self) -> dict[str, Handler]:
        # betterproto offers a request iterator and a reply iterator. A session reads and
        # writes independently, so it takes the stream itself.
        mapping: dict[str, Handler] = super().__mapping__()
        mapping[_SESSION] = mapping[_SESSION]._replace(func=self._serve_session)
        return mapping

    async def _serve_session(self, stream: Stream[Any, Any]) -> None:
        await self._active().hub.serve(stream, current_caller().peer)

    async def get_credential(
        self, get_credential_request: pb.GetCredentialRequest
    ) -> pb.GetCredentialReply:
        active = self._active()
        snapshot = await active.store.get(get_credential_request.username)
        reply = pb.GetCredentialReply(term=active.term, read_revision=snapshot.revision)
        if snapshot.value is not None and snapshot.value.password is not None:
            reply.credential = described(snapshot.value)
            reply.credential.password = hash_to_wire(snapshot.value.password)
        else:
            # With a hash the answer takes as long to write and to read as for an existing user.
            reply.credential = pb.Credential(password=hash_to_wire(DUMMY_HASH))
        return reply

    async def sync_revisions(
        self, sync_revisions_request: pb.SyncRevisionsRequest
    ) -> pb.SyncRevisionsReply:
        active = self._active()
        snapshot = await active.store.list_all()
        current = {credential.username: credential for credential in snapshot.value}
        reply = pb.SyncRevisionsReply(term=active.term, read_revision=snapshot.revision)
        for held in sync_revisions_request.held:
            credential = current.get(held.username)
            if (credential.revision if credential is not None else 0) != held.revision:
                reply.stale.append(held.username)
            elif credential is not None and list(credential.roles) != held.roles:
                reply.roles_changed.append(held.username)
        return reply

    async def list_users(self, list_users_request: pb.ListUsersRequest) -> pb.ListUsersReply:
        del list_users_request
        snapshot = await self._active().store.list_all()
        return pb.ListUsersReply(users=[described(credential) for credential in snapshot.value])

    async def create_credential(
        self, create_credential_request: pb.CreateCredentialRequest
    ) -> pb.MutationReply:
        request = create_credential_request
        return await self._answer(
            "create",
            self._active().credentials.create(
                request.username,
                hash_from_wire(request.password),
                request.description,
                actor=self._actor(request.actor),
            ),
        )

    async def update_credential(
        self, update_credential_request: pb.UpdateCredentialRequest
    ) -> pb.MutationReply:
        request = update_credential_request
        has_password = betterproto.serialized_on_wire(request.password)
        if not has_password and request.description is None:
            raise InvalidParameterError("must update either password or description")
        return await self._answer(
            "update",
            self._active().credentials.update(
                request.username,
                expected_revision=request.expected_revision or None,
                password=hash_from_wire(request.password) if has_password else None,
                description=request.description,
                actor=self._actor(request.actor),
            ),
        )

    async def delete_credential(
        self, delete_credential_request: pb.DeleteCredentialRequest
    ) -> pb.MutationReply:
        return await self._answer(
            "delete",
            self._active().credentials.delete(
                delete_credential_request.username,
                actor=self._actor(delete_credential_request.actor),
            ),
        )

    async def rehash_credential(
        self, rehash_credential_request: pb.RehashCredentialRequest
    ) -> pb.MutationReply:
        request = rehash_credential_request
        return await self._answer(
            "rehash",
            self._active().credentials.rehash(
                request.username, request.expected_revision, hash_from_wire(request.password)
            ),
        )


def root_coord_server(
    active: Callable[[], ActiveTerm],
    *,
    admits: Callable[[PeerCertificate], bool] | None = None,
    changed: Changed,
) -> GrpcServer:
    """Returns a server for proxies; `admits` checks their certificates."""
    return GrpcServer(
        [RootCoordService(active, changed)],
        admits=admits,
        # A proxy that reconnects sends all users that it holds in one message.
        codec=HotCodec({pb.SessionRequest: decode_request}, max_fields=None),
        # Proxies do not compress, and a short message must not become a long one.
        accepted_encodings=IDENTITY,
    )
