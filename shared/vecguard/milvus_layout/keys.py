"""Makes the keys of Milvus's layout, and of what Vecguard stores in addition."""

from dataclasses import dataclass

from vecguard.key_path import join

#: The users' keys below the root.
USERS = "root-coord/credential/users"

_CREDENTIAL = "root-coord/credential"
_GRANTEES = "root-coord/credential/grantee-privileges"
_GROUPS = "root-coord/privilege-group"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below one root."""

    root: str

    @classmethod
    def of(cls, root_path: str, meta_sub_path: str) -> "Keys":
        """Returns the keys below `etcd.rootPath` and `etcd.metaSubPath`."""
        return cls(join(root_path, meta_sub_path))

    @property
    def credential(self) -> str:
        """The prefix of users, roles, mappings and grants, but not of privilege groups."""
        return self._below(_CREDENTIAL)

    @property
    def users(self) -> str:
        """The prefix of every user's record."""
        return self._below(USERS)

    def user(self, username: str) -> str:
        """Returns the key of one user's record."""
        return self.users + username

    @property
    def mappings(self) -> str:
        """The prefix of the keys `<user>/<role>`, each of which gives a role to a user."""
        return self._below("root-coord/credential/user-role-mapping")

    def roles_of(self, username: str) -> str:
        """Returns the prefix of the roles that are bound to one user."""
        return f"{self.mappings}{username}/"

    def mapping(self, username: str, role: str) -> str:
        """Returns the key that gives a role to a user."""
        return self.roles_of(username) + role

    @property
    def roles(self) -> str:
        """The prefix of every role's record."""
        return self._below("root-coord/credential/roles")

    def role(self, role: str) -> str:
        """Returns the key of one role's record."""
        return self.roles + role

    @property
    def grantees(self) -> str:
        """The prefix of the keys `<role>/<object type>/<object>`; each value is a grantee id."""
        return self._below(_GRANTEES)

    def grantees_of(self, role: str) -> str:
        """Returns the prefix of the objects of one role's grants."""
        return f"{self.grantees}{role}/"

    def grantee(self, logical: str) -> str:
        """Returns the key of a role's grants on one object, by `logical_grantee`."""
        return self.grantees + logical

    @property
    def grantee_ids(self) -> str:
        """The prefix of the keys `<grantee id>/<privilege>`; each value is the grantor's name."""
        return self._below("root-coord/credential/grantee-id")

    def grants_of(self, grantee_id: str) -> str:
        """Returns the prefix of the privileges that are granted under one id."""
        return f"{self.grantee_ids}{grantee_id}/"

    @property
    def groups(self) -> str:
        """The prefix of every custom privilege group's record."""
        return self._below(_GROUPS)

    def group(self, group: str) -> str:
        """Returns the key of one privilege group's record."""
        return self.groups + group

    @property
    def leader(self) -> str:
        """Vecguard's own: exists while there is an active root coord; its value is the address."""
        return self._below("vecguard/root-coord") + "leader"

    @property
    def leases(self) -> str:
        """Vecguard's own: see `vecguard.root_coord.election`."""
        return self._below("vecguard/root-coord") + "leases-granted"

    @property
    def root_marker(self) -> str:
        """Vecguard's own: see `vecguard.root_record`."""
        return self._below("vecguard/root-coord") + "root-created"

    @property
    def policy_mark(self) -> str:
        """Vecguard's own: written by each change of roles, grants and groups; has no value."""
        return self._below("vecguard/root-coord") + "policy-changed"

    @property
    def collection_changes(self) -> str:
        """Vecguard's own: the prefix of the records of drops and renames that have begun."""
        return self._below("vecguard/collection-changes")

    def collection_change(self, database: str, name: str) -> str:
        """Returns the key that exists while a collection of this name is dropped or renamed."""
        return f"{self.collection_changes}{database}/{name}"

    def _below(self, directory: str) -> str:
        return join(self.root, directory) + "/"
