"""A credential store in memory. The contract suite compares it with the store in etcd."""

from vecguard.etcd.reads import Snapshot
from vecguard.root_coord.store.interface import Mutation, Outcome, StoredCredential
from vecguard.root_record import RootState


class MemoryCredentialStore:
    def __init__(self):
        self.revision = 1
        self.users: dict[str, StoredCredential] = {}
        self.had_root = False
        self._since: dict[str, int] = {}

    async def get(self, username):
        return Snapshot(self.revision, self.users.get(username))

    async def list_all(self):
        return Snapshot(self.revision, tuple(self.users[name] for name in sorted(self.users)))

    async def root_state(self):
        if "root" in self.users:
            return RootState.FOUND
        return RootState.LOST if self.had_root or self.users else RootState.NEW

    async def create_first_root(self, password):
        if self.had_root or self.users:
            return False
        self.had_root = True
        return self._put("root", password, "").applied

    async def note_root(self):
        self.had_root = self.had_root or "root" in self.users

    async def create(self, username, password, description, *, user_limit, actor=None):
        if not self._stands(actor):
            return Mutation(Outcome.ACTOR_REVOKED)
        stored = self.users.get(username)
        if stored is not None:
            if stored.password == password:
                return Mutation(Outcome.APPLIED, stored.revision)
            return Mutation(Outcome.USER_EXISTS)
        if len(self.users) >= user_limit:
            return Mutation(Outcome.USER_LIMIT_REACHED)
        return self._put(username, password, description)

    async def update(self, username, *, expected_revision, password, description, actor=None):
        if not self._stands(actor):
            return Mutation(Outcome.ACTOR_REVOKED)
        stored = self.users.get(username)
        if stored is None:
            return Mutation(Outcome.USER_NOT_FOUND)
        if expected_revision not in (None, stored.revision):
            if password is not None and stored.password == password:
                return Mutation(Outcome.APPLIED, stored.revision)
            return Mutation(Outcome.REVISION_CHANGED)
        return self._put(
            username,
            password if password is not None else stored.password,
            description if description is not None else stored.description,
            since=None if password is not None else self._since[username],
        )

    async def rehash(self, username, expected_revision, password):
        since = self._since.get(username)
        mutation = await self.update(
            username, expected_revision=expected_revision, password=password, description=None
        )
        if mutation.applied:
            self._since[username] = since
        return mutation

    async def delete(self, username, *, actor=None):
        if not self._stands(actor):
            return Mutation(Outcome.ACTOR_REVOKED)
        if self.users.pop(username, None) is None:
            return Mutation(Outcome.USER_NOT_FOUND, self.revision)
        self.revision += 1
        return Mutation(Outcome.APPLIED, self.revision)

    def _stands(self, actor):
        if actor is None:
            return True
        stored = self.users.get(actor.username)
        return stored is not None and (
            self._since[actor.username] <= actor.revision <= stored.revision
        )

    def _put(self, username, password, description, since=None):
        self.revision += 1
        self._since[username] = since or self.revision
        self.users[username] = StoredCredential(username, password, self.revision, description)
        return Mutation(Outcome.APPLIED, self.revision)
