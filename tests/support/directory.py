"""Root coord as the accounts see it: a store in memory that revokes in the cache of one proxy."""

from tests.support.credentials import Gate, hashed
from tests.support.memory_store import MemoryCredentialStore
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.authentication.credentials import Credential
from vecguard.root_coord.answers import OUTCOMES
from vecguard.root_coord.store.interface import Actor


class MemoryDirectory:
    """Implements `Directory` and `CredentialSource` in memory.

    Attributes:
        on_change: called with (username, revision) after each change, as an invalidation.
        gate: every change is held up here before it is made.
        list_gate: every list of users is held up here before it is read.
        roles: the roles of users (`MemoryRoles`), if a test needs them.
        judges_actors: whether changes are made only while their actors stand, who need exist then.
    """

    def __init__(self, *, user_limit=10):
        self.store = MemoryCredentialStore()
        self.gate = Gate()
        self.list_gate = Gate()
        self.changes = []
        self.roles = None
        self.judges_actors = False
        self.on_change = lambda username, revision: None
        self._user_limit = user_limit

    async def add(self, username, password):
        await self.store.create(username, hashed(password), "", user_limit=10**6)

    async def fetch(self, username):
        snapshot = await self.store.get(username)
        user = snapshot.value
        return Credential(
            username,
            user.password if user else None,
            user.revision if user else 0,
            read_revision=snapshot.revision,
        )

    async def list_users(self):
        await self.list_gate.passed()
        users = (await self.store.list_all()).value
        return [
            pb.Credential(
                username=user.username,
                revision=user.revision,
                description=user.description,
                roles=self.roles.of_user(user.username) if self.roles else [],
            )
            for user in users
        ]

    async def create(self, username, password, description, *, asked_by):
        return await self._changed(
            "create",
            username,
            lambda: self.store.create(
                username,
                password,
                description,
                user_limit=self._user_limit,
                actor=self._actor(asked_by),
            ),
        )

    async def update(self, username, *, expected_revision, password, description, asked_by):
        return await self._changed(
            "update",
            username,
            lambda: self.store.update(
                username,
                expected_revision=expected_revision,
                password=password,
                description=description,
                actor=self._actor(asked_by),
            ),
        )

    async def delete(self, username, *, asked_by):
        return await self._changed(
            "delete",
            username,
            lambda: self.store.delete(username, actor=self._actor(asked_by)),
        )

    def _actor(self, asked_by):
        if asked_by.is_anonymous or not self.judges_actors:
            return None
        return Actor(asked_by.username, asked_by.revision)

    async def _changed(self, kind, username, change):
        await self.gate.passed()
        self.changes.append((kind, username))
        mutation = await change()
        if mutation.applied:
            self.on_change(username, mutation.revision)
        return pb.MutationReply(
            outcome=OUTCOMES[mutation.outcome],
            revision=mutation.revision if mutation.applied else 0,
        )
