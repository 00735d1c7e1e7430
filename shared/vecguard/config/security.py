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
        description="Privileges of the built-in group, instead of Milvus's; none: those.",
    )


class PrivilegeLevelSettings(Section):
    """The three built-in privilege groups of one level."""

    readonly: PrivilegeListSettings = PrivilegeListSettings()
    readwrite: PrivilegeListSettings = PrivilegeListSettings()
    admin: PrivilegeListSettings = PrivilegeListSettings()


class RbacSettings(Section):
    """`common.security.rbac`."""

    enforced: bool = Field(
        default=True,
        description="Whether a user may call only what the user's roles allow. False: every login "
        "may call everything but the methods about users and roles, as before version 0.2; roles "
        "can be given all the same.",
    )
    strict: bool = Field(
        default=True,
        description="Whether methods for which Milvus defines no privilege, and which write or "
        "show the data of every collection, need the role admin. False: any login may call them, "
        "as in Milvus.",
    )
    cluster: PrivilegeLevelSettings = PrivilegeLevelSettings()
    database: PrivilegeLevelSettings = PrivilegeLevelSettings()
    collection: PrivilegeLevelSettings = PrivilegeLevelSettings()


class SecuritySettings(Section):
    """`common.security`."""

    authorization_enabled: bool = Field(
        default=True,
        description="Whether requests are authenticated. Milvus's own default is false.",
    )
    allow_anonymous_changes: bool = Field(
        default=False,
        description="Whether a proxy with authorizationEnabled false changes users "
        "and roles for every caller. Such a change holds at all proxies.",
    )
    super_users: Names = Field(
        default=(),
        description="Users that need no old password for a change of any password (root does for "
        "its own). Which passwords they may change, their roles decide.",
    )
    root_should_bind_role: bool = Field(
        default=False,
        description="Whether root, too, may call only what root's roles allow.",
    )
    enable_public_privilege: bool = Field(
        default=True,
        description="Whether root coord gives the role public, which every user has, its usual "
        "grants when it becomes active: DescribeCollection, ListAliases and IndexDetail on "
        "everything. False takes back none that were given before.",
    )
    rbac: RbacSettings = RbacSettings()
    default_root_password: SecretText = Field(
        default_factory=lambda: Secret("Milvus"),
        description="Password that root gets when the store is empty.",
    )
    default_root_password_file: str = Field(
        default="",
        description="File that holds that password instead; wins over defaultRootPassword.",
    )
    tls_mode: Annotated[int, Field(ge=0, le=2)] | None = Field(
        default=None,
        description="TLS on the public port: 0 off, 1 server certificate, 2 mutual. "
        "Unset means 0, or what tlsEnabled says.",
    )
    tls_enabled: bool | None = Field(
        default=None,
        description="Older form of tlsMode: true means 2 if tls.caPemPath is set, else 1.",
    )
    internaltls_enabled: bool = Field(
        default=False, description="Whether proxy and root coord speak TLS to each other."
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
        complaint = f"common.security.defaultRootPasswordFile: {path}"
        try:
            password = decoded(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{complaint} cannot be read: {error.strerror}") from error
        except TextError as error:
            raise ConfigurationError(f"{complaint} {error}") from None
        if not password:
            raise ConfigurationError(f"{complaint} holds no password")
        return Secret(password)


class BuiltinRolesSettings(Section):
    """`builtinRoles`."""

    enable: bool = Field(
        default=False,
        description="Whether root coord makes sure, when it becomes active, that the roles of "
        "builtinRoles.roles exist with their grants. They are neither altered nor dropped.",
    )
    roles: str = Field(
        default="{}",
        description="Roles in JSON, as in Milvus: the name of each, and as its value "
        '{"privileges": [{"object_type": "Collection", "object_name": "*", "privilege": "Search", '
        '"db_name": "default"}]}.',
    )


class CommonSettings(Section):
    """`common`."""

    security: SecuritySettings = Field(default_factory=SecuritySettings)


class TlsSettings(Section):
    """The certificate of the public port, and settings for the TLS of every link."""

    server_pem_path: str = Field(default="", description="File with the certificate (PEM).")
    server_key_path: str = Field(default="", description="File with its key (PEM).")
    ca_pem_path: str = Field(
        default="",
        description="File with the CAs that may have signed clients' certificates (PEM).",
    )
    user_from_certificate: str = Field(
        default="",
        description="Which part of a client's certificate names the user, instead of a password; "
        "empty: none.",
    )
    reload_interval: Seconds = Field(
        default=10.0,
        description="How often the TLS files of every link are looked at for changes, in seconds.",
    )


class InternalTlsSettings(Section):
    """The certificates between proxy and root coord."""

    server_pem_path: str = Field(default="", description="File with root coord's certificate.")
    server_key_path: str = Field(default="", description="File with its key (PEM).")
    ca_pem_path: str = Field(
        default="", description="File with the CAs that either side accepts (PEM)."
    )
    sni: str = Field(default="", description="Name expected in root coord's certificate.")
    client_pem_path: str = Field(default="", description="File with the proxy's certificate.")
    client_key_path: str = Field(default="", description="File with its key (PEM).")
    allowed_names: Names = Field(
        default=(),
        description="Names of certificates that may open a session; none: every accepted one.",
    )
