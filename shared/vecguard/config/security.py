"""Settings of authentication, privileged users and TLS files. Names are Milvus's."""

from enum import IntEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from vecguard.config.fields import Names, Seconds, SecretText, Section
from vecguard.errors import ConfigurationError
from vecguard.input_text import TextError, decoded
from vecguard.secret import Secret


class TlsMode(IntEnum):
    """How clients reach the public port."""

    OFF = 0
    SERVER = 1
    """The server shows a certificate."""
    MUTUAL = 2
    """Clients have to show one too."""


class PrivilegeListSettings(Section):
    """One built-in privilege group."""

    privileges: Names = Field(
        default=(),
        description="Privileges of this built-in privilege group. They replace Milvus's list. "
        "Empty: Milvus's list applies.",
    )


class PrivilegeLevelSettings(Section):
    """The three built-in privilege groups of one level."""

    readonly: PrivilegeListSettings = PrivilegeListSettings()
    readwrite: PrivilegeListSettings = PrivilegeListSettings()
    admin: PrivilegeListSettings = PrivilegeListSettings()


class RbacSettings(Section):
    """How roles limit users."""

    enforced: bool = Field(
        default=True,
        description="Whether roles limit which methods a user may call. If false, every "
        "authenticated user may call everything except the methods for users and roles, as before "
        "version 0.2. Roles can still be granted.",
    )
    strict: bool = Field(
        default=True,
        description="Whether a method needs the role admin if Milvus defines no privilege for it "
        "and it writes or shows the data of every collection. If false, every authenticated user "
        "may call these methods, as in Milvus.",
    )
    cluster: PrivilegeLevelSettings = PrivilegeLevelSettings()
    database: PrivilegeLevelSettings = PrivilegeLevelSettings()
    collection: PrivilegeLevelSettings = PrivilegeLevelSettings()


class SecuritySettings(Section):
    """Authentication, roles and TLS."""

    authorization_enabled: bool = Field(
        default=True,
        description="Whether every call must be authenticated. Milvus's own default is false.",
    )
    allow_anonymous_changes: bool = Field(
        default=False,
        description="Whether every caller may change users and roles through a proxy whose "
        "authorizationEnabled is false. Such a change applies at all proxies.",
    )
    super_users: Names = Field(
        default=(),
        description="Users who can change a password without showing the old one. Their roles "
        "decide whose passwords they may change. root must always show its own old password.",
    )
    root_should_bind_role: bool = Field(
        default=False,
        description="Whether root, like other users, may call only what its roles allow.",
    )
    enable_public_privilege: bool = Field(
        default=True,
        description="Whether root coord gives the role public its usual grants when it becomes "
        "active: DescribeCollection, ListAliases and IndexDetail on everything. Every user has "
        "the role public. false does not remove grants that were made earlier.",
    )
    rbac: RbacSettings = RbacSettings()
    default_root_password: SecretText = Field(
        default_factory=lambda: Secret("Milvus"),
        description="Initial password of root. It is used only if the store in etcd is empty.",
    )
    default_root_password_file: str = Field(
        default="",
        description="File with the initial password of root. It overrides defaultRootPassword.",
    )
    tls_mode: Annotated[int, Field(ge=0, le=2)] | None = Field(
        default=None,
        description="TLS on the proxy's port: 0 is off, 1 uses a server certificate, 2 also "
        "requires client certificates (mutual TLS). If unset, tlsEnabled decides, and TLS is off "
        "without it.",
    )
    tls_enabled: bool | None = Field(
        default=None,
        description="Older form of tlsMode: true means 2 if tls.caPemPath is set, otherwise 1.",
    )
    internaltls_enabled: bool = Field(
        default=False, description="Whether proxies and root coord connect to each other with TLS."
    )

    def initial_root_password(self) -> Secret[str]:
        """Returns the password that root gets when the store is empty.

        Reads `defaultRootPasswordFile` if there is one, by the rule of `vecguard.input_text`.

        Raises:
            ConfigurationError: the file cannot be read, or holds no usable text.
        """
        if not self.default_root_password_file:
            return self.default_root_password
        path = Path(self.default_root_password_file)
        complaint = f"common.security.defaultRootPasswordFile: {path.absolute()}"
        try:
            password = decoded(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{complaint} cannot be read: {error.strerror}") from error
        except TextError as error:
            raise ConfigurationError(f"{complaint} {error}") from None
        if not password:
            raise ConfigurationError(f"{complaint} is empty")
        return Secret(password)


class BuiltinRolesSettings(Section):
    """Roles that root coord creates."""

    enable: bool = Field(
        default=False,
        description="Whether root coord creates the roles of builtinRoles.roles when it becomes "
        "active, and adds the grants that they lack. It removes no roles or grants.",
    )
    roles: str = Field(
        default="{}",
        description="JSON text in Milvus's format: it maps the name of each role to "
        '{"privileges": [{"object_type": "Collection", "object_name": "*", "privilege": "Search", '
        '"db_name": "default"}]}.',
    )


class CommonSettings(Section):
    """Settings that both services share."""

    security: SecuritySettings = Field(default_factory=SecuritySettings)


class TlsSettings(Section):
    """TLS on the proxy's port, and how often all TLS files are checked for changes."""

    server_pem_path: str = Field(
        default="",
        description="PEM file with the proxy's certificate, followed by its intermediate "
        "certificates.",
    )
    server_key_path: str = Field(
        default="", description="PEM file with the private key of that certificate."
    )
    ca_pem_path: str = Field(
        default="",
        description="PEM file with the CA certificates by which client certificates are verified.",
    )
    user_from_certificate: str = Field(
        default="",
        description="Which part of a client's certificate holds the user name. A client whose "
        "certificate has one needs no password. Empty: every client needs a password.",
    )
    reload_interval: Seconds = Field(
        default=10.0,
        description="How often a process checks all TLS files, of every connection, for changes.",
    )


class InternalTlsSettings(Section):
    """TLS between proxies and root coord."""

    server_pem_path: str = Field(
        default="",
        description="PEM file with root coord's certificate, followed by its intermediate "
        "certificates.",
    )
    server_key_path: str = Field(
        default="", description="PEM file with the private key of root coord's certificate."
    )
    ca_pem_path: str = Field(
        default="",
        description="PEM file with the CA certificates by which proxies and root coord verify "
        "each other.",
    )
    sni: str = Field(
        default="",
        description="Name that proxies expect in root coord's certificate. Empty: the host in "
        "rootCoord.addresses.",
    )
    client_pem_path: str = Field(
        default="",
        description="PEM file with the proxy's certificate for root coord, followed by its "
        "intermediate certificates.",
    )
    client_key_path: str = Field(
        default="", description="PEM file with the private key of the proxy's certificate."
    )
    allowed_names: Names = Field(
        default=(),
        description="Names in certificates that may open a session at root coord. Empty: every "
        "verified certificate may.",
    )
