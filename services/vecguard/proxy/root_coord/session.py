"""The session stream to the active root coord: renews the lease, applies invalidations."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import betterproto
from grpclib.client import Stream
from grpclib.const import Cardinality

from vecguard.clock import Clock
from vecguard.errors import UnavailableError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel, translated_errors
from vecguard.observability.log import get_logger
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.revocations import Revocations

log = get_logger(__name__)

_ROUTE = "/vecguard.internal.v1.RootCoord/Session"
# Root coord opens a session without reading etcd. The kernel accepts connections to a paused
# root coord as well, and this proxy cannot look for its successor while it waits for an answer.
_OPEN_TIMEOUT_SECONDS = 2.0
_ANSWER_TIMEOUT_SECONDS = 10.0
_RELEASE_TIMEOUT_SECONDS = 1.0
# A root coord that leaves this many renewals unanswered is paused or cut off, even if the
# connection looks alive: a successor may have been elected.
_UNANSWERED_RENEWALS = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """What this proxy process sends when it opens a session."""

    proxy_id: str
    version: str
    revocation_mode: str


class Session:
    """Serves one stream to root coord, from its opening until it breaks.

    The first renewal is sent only after the revisions of the cached records were compared with
    root coord's, so that no outdated record counts under the new session's lease.
    """

    def __init__(
        self,
        channel: Channel,
        identity: Identity,
        lease: Lease,
        revocations: Revocations,
        clock: Clock,
        *,
        renewed: Callable[[], None],
    ) -> None:
        """Takes the parts; `renewed` is called after each renewal of the lease."""
        self._channel = channel
        self._identity = identity
        self._lease = lease
        self._revocations = revocations
        self._clock = clock
        self._renewed = renewed
        self._renew_interval_seconds = 1.0
        self._answered_at = clock()

    async def run(self, peer: str, opened: Callable[[pb.Opened], None]) -> None:
        """Serves the session until it ends, which is always by an exception.

        Calls `opened` when root coord has accepted the session. If that raises, the session ends
        before anything of it is trusted. When it is cancelled, it gives the lease back, and
        nothing may be decided from memory any more.

        Raises:
            VecguardError: what ended the stream, with `peer` in its text; in an exception group
                if the session was open.
        """
        stream: Stream[Any, Any] = self._channel.request(
            _ROUTE, Cardinality.STREAM_STREAM, pb.SessionRequest, pb.SessionReply
        )
        with translated_errors(peer):
            async with stream:
                async with asyncio.timeout(_OPEN_TIMEOUT_SECONDS):
                    term = await self._open(stream, opened)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._receive(peer, stream, term))
                        tasks.create_task(self._resynchronise_and_renew(peer, stream, term))
                except asyncio.CancelledError:
                    await self._release(stream)
                    raise

    async def _open(self, stream: Stream[Any, Any], opened_in: Callable[[pb.Opened], None]) -> int:
        await stream.send_message(
            pb.SessionRequest(
                open=pb.Open(
                    proxy_id=self._identity.proxy_id,
                    version=self._identity.version,
                    revocation_mode=self._identity.revocation_mode,
                )
            )
        )
        _, opened = betterproto.which_one_of(
            await stream.recv_message() or pb.SessionReply(), "kind"
        )
        if not isinstance(opened, pb.Opened):
            raise UnavailableError("root coord did not open the session")
        opened_in(opened)
        self._lease.granted_for(opened.lease_ttl_ms / 1000)
        self._renew_interval_seconds = opened.renew_interval_ms / 1000
        return opened.term

    async def _resynchronise_and_renew(
        self, peer: str, stream: Stream[Any, Any], term: int
    ) -> None:
        with translated_errors(peer):
            await self._resynchronise(term)
            self._answered_at = self._clock()
            while True:
                self._require_answers()
                number = self._lease.sending(self._clock())
                await stream.send_message(pb.SessionRequest(renew=pb.Renew(number=number)))
                await asyncio.sleep(self._renew_interval_seconds)

    async def _resynchronise(self, term: int) -> None:
        held, newest_read = self._revocations.held(), self._revocations.newest_read
        if not held and not newest_read:
            return
        # Roles are few and quickly read again, so they are not compared.
        self._revocations.forget_roles()
        reply = await pb.RootCoordStub(self._channel).sync_revisions(
            pb.SyncRevisionsRequest(
                held=[
                    pb.UserRevision(username=username, revision=revision, roles=list(roles))
                    for username, revision, roles in held
                ]
            ),
            timeout=_ANSWER_TIMEOUT_SECONDS,
        )
        if reply.term != term:
            raise UnavailableError("root coord changed while revisions were compared")
        if reply.read_revision < newest_read:
            # etcd was restored from a backup: the cached revisions only seem newer than the store.
            log.warning("store_went_back", seen=newest_read, now=reply.read_revision)
            self._revocations.start_afresh()
            return
        self._revocations.invalidate_stale(reply.stale, reply.read_revision)
        self._revocations.forget_roles_of(reply.roles_changed, reply.read_revision)
        self._revocations.judge_open_calls()
        log.info(
            "session_resynchronised",
            held=len(held),
            stale=len(reply.stale),
            roles_changed=len(reply.roles_changed),
        )

    async def _release(self, stream: Stream[Any, Any]) -> None:
        """Gives the lease back, so that changes do not wait for a process that is stopping."""
        self._lease.surrender(self._clock())
        with suppress(Exception):  # the lease expires if root coord cannot be reached
            async with asyncio.timeout(_RELEASE_TIMEOUT_SECONDS):
                await stream.send_message(pb.SessionRequest(release=pb.Release()))
                while await stream.recv_message() is not None:
                    pass

    async def _receive(self, peer: str, stream: Stream[Any, Any], term: int) -> None:
        with translated_errors(peer):
            async for reply in stream:
                _, content = betterproto.which_one_of(reply, "kind")
                if isinstance(content, pb.Renewed) and content.term == term:
                    self._lease.renewed(content.number)
                    self._renewed()
                    self._answered_at = self._clock()
                elif isinstance(content, pb.Invalidate):
                    await self._apply(content, term)
                    await self._acknowledge(stream, content.sequence)
                elif isinstance(content, pb.Surrender):
                    self._lease.surrender(self._clock())
                    await self._acknowledge(stream, content.sequence)
        raise UnavailableError("root coord has ended the session")

    def _require_answers(self) -> None:
        silence = self._clock() - self._answered_at
        if silence > _UNANSWERED_RENEWALS * self._renew_interval_seconds:
            raise UnavailableError(f"no renewal was answered for {silence:.1f} s")

    async def _apply(self, notice: pb.Invalidate, term: int) -> None:
        if notice.everything:
            self._revocations.invalidate_all()
            await self._resynchronise(term)  # also finds open calls of users that are not cached
        for invalidation in notice.invalidations:
            username, revision = invalidation.username, invalidation.revision
            if invalidation.roles_only:
                self._revocations.change_roles_of(username, revision)
            else:
                self._revocations.invalidate(username, revision)
        if notice.policy_revision:
            self._revocations.change_policy(notice.policy_revision)

    async def _acknowledge(self, stream: Stream[Any, Any], sequence: int) -> None:
        await stream.send_message(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=sequence)))
