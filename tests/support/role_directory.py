"""A fake of root coord's roles, in memory; the real one is tested end to end with pymilvus."""

from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.privileges.catalogue import Catalogue, flattened
from vecguard.privileges.stored_names import api_name, stored_group
from vecguard.proxy.accounts.records import Backup, Roles, SavedRole, SavedUser

Outcome = pb.MutationOutcome
_BUILT_IN = ("admin", "public")


class MemoryRoles:
    """Implements what the account service needs of root coord for roles.

    Attributes:
        directory: the users (`MemoryDirectory`).
        changes: the kind and the caller of each change.
        refuses: an outcome with which every change is refused; None: none.
    """

    def __init__(self, directory, *, role_limit=10, catalogue=None):
        self.directory = directory
        self.roles = {name: SavedRole(name) for name in _BUILT_IN}
        self.users_of = {name: set() for name in _BUILT_IN}
        self.groups = {}
        self.changes = []
        self.refuses = None
        self.reads = []
        self.revision = 100
        self._role_limit = role_limit
        self._catalogue = catalogue or Catalogue()

    def of_user(self, username):
        return sorted(role for role, users in self.users_of.items() if username in users)

    async def list_users(self):
        return await self.directory.list_users()

    async def list_roles(self):
        return [
            pb.Role(
                name=name, description=role.description, users=sorted(self.users_of.get(name, ()))
            )
            for name, role in sorted(self.roles.items())
        ]

    async def read_roles(self, *names):
        self.reads.append(names)
        found = {name: self.roles[name].grants for name in names if name in self.roles}
        named = {api_name(grant.privilege) for grants in found.values() for grant in grants}
        members = {
            name: flattened([name], self.groups, self._catalogue)
            for name in named
            if not self._catalogue.is_privilege(name)
        }
        return Roles(self.revision, found, members)

    async def list_groups(self):
        return [
            pb.PrivilegeGroup(name=name, privileges=list(privileges))
            for name, privileges in (*sorted(self.groups.items()), *self._catalogue.groups.items())
        ]

    async def create_role(self, name, description, *, asked_by):
        def change():
            if name in self.roles:
                return Outcome.ROLE_EXISTS
            if len(self.roles) >= self._role_limit:
                return Outcome.ROLE_LIMIT_REACHED
            self.roles[name] = SavedRole(name, description)
            self.users_of[name] = set()
            return Outcome.APPLIED

        return self._changed("create_role", asked_by, change)

    async def alter_role(self, name, description, *, asked_by):
        def change():
            if name not in self.roles:
                return Outcome.ROLE_NOT_FOUND
            self.roles[name].description = description
            return Outcome.APPLIED

        return self._changed("alter_role", asked_by, change)

    async def drop_role(self, name, *, force, asked_by):
        def change():
            if name not in self.roles:
                return Outcome.ROLE_NOT_FOUND
            if self.roles[name].grants and not force:
                return Outcome.ROLE_HAS_GRANTS
            del self.roles[name], self.users_of[name]
            return Outcome.APPLIED

        return self._changed("drop_role", asked_by, change)

    async def change_user_role(self, username, role, *, give, asked_by):
        def change():
            if role not in self.roles:
                return Outcome.ROLE_NOT_FOUND
            if username not in self.directory.store.users:
                return Outcome.USER_NOT_FOUND
            users = self.users_of[role]
            if (username in users) is give:
                return None
            (users.add if give else users.remove)(username)
            return Outcome.APPLIED

        return self._changed("change_user_role", asked_by, change)

    async def change_grant(self, role, grants, *, give, asked_by):
        def change():
            if role not in self.roles:
                return Outcome.ROLE_NOT_FOUND
            held = self.roles[role].grants
            # The grantor is the value of a grant and not a part of its key.
            known = {grant[:4] for grant in held}
            if give:
                new = [grant for grant in grants if grant[:4] not in known]
                held += new
                return Outcome.APPLIED if new else None
            revoked = {grant[:4] for grant in grants}
            kept = [grant for grant in held if grant[:4] not in revoked]
            is_changed = kept != held
            held[:] = kept
            return Outcome.APPLIED if is_changed else None

        return self._changed("change_grant", asked_by, change)

    async def create_group(self, name, *, asked_by):
        def change():
            if name in self.groups:
                return Outcome.GROUP_EXISTS
            if self._catalogue.is_privilege(name) or self._catalogue.is_built_in_group(name):
                return Outcome.GROUP_NAME_TAKEN
            self.groups[name] = ()
            return Outcome.APPLIED

        return self._changed("create_group", asked_by, change)

    async def drop_group(self, name, *, asked_by):
        def change():
            if name not in self.groups:
                return Outcome.GROUP_NOT_FOUND
            for role in self.roles.values():
                if any(grant.privilege == stored_group(name) for grant in role.grants):
                    return Outcome.GROUP_IN_USE, role.name
            del self.groups[name]
            return Outcome.APPLIED

        return self._changed("drop_group", asked_by, change)

    async def change_group(self, name, privileges, *, add, asked_by):
        def change():
            if name not in self.groups:
                return Outcome.GROUP_NOT_FOUND
            for privilege in privileges:
                if not (
                    self._catalogue.is_privilege(privilege)
                    or self._catalogue.is_built_in_group(privilege)
                    or privilege in self.groups
                ):
                    return Outcome.PRIVILEGE_NOT_FOUND, privilege
            before = self.groups[name]
            after = tuple(
                dict.fromkeys((*before, *privileges))
                if add
                else (each for each in before if each not in privileges)
            )
            single = flattened(after, self.groups, self._catalogue)
            if add and len({self._catalogue.level_of(each) for each in single}) > 1:
                return Outcome.LEVELS_DIFFER
            self.groups[name] = after
            return Outcome.APPLIED if after != before else None

        return self._changed("change_group", asked_by, change)

    async def back_up(self):
        users = [
            SavedUser(user.username, self.directory.store.users[user.username].password,
                      tuple(user.roles))
            for user in await self.list_users()
            if user.username != "root"
        ]  # fmt: skip
        roles = [role for name, role in sorted(self.roles.items()) if name not in _BUILT_IN]
        return Backup(users, roles, dict(self.groups))

    async def restore(self, backup, *, asked_by):
        def change():
            return self._conflict(backup) or self._restore(backup)

        return self._changed("restore", asked_by, change)

    def _conflict(self, backup):
        new = {role.name for role in backup.roles}
        users = self.directory.store.users
        found = (
            [(Outcome.ROLE_EXISTS, name) for name in new if name in self.roles]
            + [(Outcome.GROUP_EXISTS, name) for name in backup.groups if name in self.groups]
            + [(Outcome.USER_EXISTS, user.name) for user in backup.users if user.name in users]
            + [
                (Outcome.ROLE_NOT_FOUND, role)
                for user in backup.users
                for role in user.roles
                if role not in new | self.roles.keys()
            ]
        )
        return found[0] if found else None

    def _restore(self, backup):
        for role in backup.roles:
            self.roles[role.name] = role
            self.users_of[role.name] = set()
        self.groups |= backup.groups
        for user in backup.users:
            self.directory.store._put(user.name, user.password, "")
            for role in user.roles:
                self.users_of[role].add(user.name)
        return Outcome.APPLIED

    def _changed(self, kind, asked_by, change):
        """Makes a change; it returns an outcome, with or without detail, or None: no change."""
        self.changes.append((kind, asked_by))
        if self.refuses is not None:
            outcome, detail = self.refuses
            return pb.MutationReply(outcome=outcome, detail=detail)
        result = change()
        if result is None:
            return pb.MutationReply(outcome=Outcome.APPLIED)
        outcome, detail = result if isinstance(result, tuple) else (result, "")
        if outcome is Outcome.APPLIED:
            self.revision += 1
            return pb.MutationReply(outcome=outcome, revision=self.revision)
        return pb.MutationReply(outcome=outcome, detail=detail)
