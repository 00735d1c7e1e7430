"""Settings of the services' ports and of the addresses of root coord and the backend."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import (
    Address,
    Addresses,
    Count,
    DescriptionLength,
    ListenAddress,
    MessageSize,
    NameExtras,
    OptionalAddress,
    Port,
    Seconds,
    Section,
    Unit,
)
from vecguard.config.method_roles import MethodRoles
from vecguard.config.relay import (
    ConnectionSettings,
    ForwardedForSettings,
    Http2Settings,
    PoolSettings,
    ProxyProtocolSettings,
)

#: A login travels in one header; a longer one exceeds the usual limits for headers.
PasswordLength = Annotated[int, Field(gt=0, le=1024), Unit("characters")]


_OPERATIONS_PORT = "Port on which metrics and health are served. 0: any free port."


class OperationsSettings(Section):
    """The proxy's operations port, for metrics and health."""

    ip: ListenAddress = Field(
        default="127.0.0.1",
        description="Address on which metrics and health are served. `0.0.0.0` listens on all IPv4 "
        "addresses, `::` on all IPv4 and IPv6 addresses. The port has no authentication.",
    )
    port: Port = Field(default=9091, description=_OPERATIONS_PORT)


class RootCoordOperationsSettings(OperationsSettings):
    """Root coord's operations port. The proxy's has another default, so both can use one file."""

    port: Port = Field(default=9092, description=_OPERATIONS_PORT)


class NameValidationSettings(Section):
    """Rules for user names."""

    extra_chars: NameExtras = Field(
        default="",
        description="Characters allowed in user names in addition to letters, digits and "
        "underscores: any of . and -",
    )


class ProxyGrpcSettings(Section):
    """Limits on the size of one message."""

    server_max_recv_size: MessageSize = Field(
        default=268_435_456,
        description="Maximum size of a request message as sent, compressed or not. A larger one "
        "is refused with RESOURCE_EXHAUSTED.",
    )
    server_max_send_size: MessageSize = Field(
        default=268_435_456,
        description="Maximum size of a response message as sent, compressed or not. A larger one "
        "ends the call with RESOURCE_EXHAUSTED.",
    )


class RoleNameValidationSettings(Section):
    """Rules for role names."""

    allowed_chars: str = Field(
        default="$",
        description="Characters allowed in role names after the first character, in addition to "
        "letters, digits and underscores.",
    )


class ProxySettings(Section):
    """The proxy: the port for clients, and limits on users and roles."""

    ip: ListenAddress = Field(
        default="0.0.0.0",
        description="Address on which the proxy accepts clients. `0.0.0.0` listens on all IPv4 "
        "addresses, `::` on all IPv4 and IPv6 addresses.",
    )
    port: Port = Field(
        default=19530, description="Port on which the proxy accepts clients. 0: any free port."
    )
    workers: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=1,
        description="Number of processes that share the port. 0: one for each available CPU. A "
        "process uses one CPU, plus others to check passwords. Limits apply to each process "
        "separately.",
    )
    min_password_length: PasswordLength = Field(
        default=6, description="Minimum length of a new password."
    )
    max_password_length: PasswordLength = Field(
        default=256, description="Maximum length of a new password."
    )
    max_username_length: Annotated[int, Field(gt=0, le=255), Unit("characters")] = Field(
        default=32, description="Maximum length of a user name."
    )
    max_user_num: Count = Field(default=100, description="Maximum number of users.")
    max_user_description_length: DescriptionLength = Field(
        default=1024, description="Maximum length of a user's description."
    )
    max_role_num: Count = Field(
        default=1000, description="Maximum number of roles, including admin and public."
    )
    max_role_description_length: DescriptionLength = Field(
        default=1024, description="Maximum length of a role's description."
    )
    enable_public_privilege: bool | None = Field(
        default=None,
        description="Older form of common.security.enablePublicPrivilege. If either is false, "
        "the result is false.",
    )
    name_validation: NameValidationSettings = NameValidationSettings()
    role_name_validation: RoleNameValidationSettings = RoleNameValidationSettings()
    method_roles: MethodRoles = Field(
        default_factory=dict,
        description="For backends other than Milvus: the roles that may call a method. A user "
        "needs one of these roles, or admin. The path /package.Service/* applies to every method "
        "of a service without an entry of its own. A method without an entry needs only a login.",
    )
    grpc: ProxyGrpcSettings = ProxyGrpcSettings()
    http2: Http2Settings = Http2Settings()
    connections: ConnectionSettings = ConnectionSettings()
    proxy_protocol: ProxyProtocolSettings = ProxyProtocolSettings()
    forwarded_for: ForwardedForSettings = ForwardedForSettings()
    operations: OperationsSettings = OperationsSettings()
    forward_authorization: bool = Field(
        default=False,
        description="Whether the backend receives the authorization header. A Milvus that checks "
        "it refuses a password changed through Vecguard until Milvus is restarted.",
    )
    drain_timeout: Seconds = Field(
        default=30.0, description="How long a proxy that is stopping waits for open calls to end."
    )


class RootCoordSettings(Section):
    """Root coord, which owns users, passwords and roles."""

    ip: ListenAddress = Field(
        default="127.0.0.1",
        description="Address on which root coord accepts proxies. `0.0.0.0` listens on all IPv4 "
        "addresses, `::` on all IPv4 and IPv6 addresses. Set common.security.internaltlsEnabled "
        "before you open the port to a network.",
    )
    port: Port = Field(
        default=53100, description="Port on which root coord accepts proxies. 0: any free port."
    )
    advertised_address: OptionalAddress = Field(
        default="",
        description="Address that a standby reports for this root coord while this one is "
        "active. It is only information for operators. Empty: the host name, or rootCoord.ip.",
    )
    addresses: Addresses = Field(
        default=("localhost:53100",),
        description="Addresses of all root coord processes. Proxies look for the active one there.",
    )
    allow_similar_prefix: bool = Field(
        default=False,
        description="Whether to create root although etcd has users under a prefix that differs "
        "from etcd.rootPath/etcd.metaSubPath only in slashes, dots, letter case or spaces. Set it "
        "only for a second installation in the same etcd.",
    )
    operations: RootCoordOperationsSettings = RootCoordOperationsSettings()
    max_connections: Count = Field(
        default=2048,
        description="Maximum number of connections to rootCoord.port. Each worker of each proxy "
        "uses a few, and each needs a file descriptor. At the limit the oldest connection that "
        "has not sent its first frames is closed, then the oldest without an open call.",
    )
    drain_timeout: Seconds = Field(
        default=30.0,
        description="How long a root coord that is stopping waits for open calls to end.",
    )


class BackendTlsSettings(Section):
    """TLS on connections to the backend."""

    enabled: bool = Field(default=False, description="Whether to connect to the backend with TLS.")
    ca_pem_path: str = Field(
        default="",
        description="PEM file with the CA certificates by which the backend's certificate is "
        "verified. Empty: the CAs of the system.",
    )
    client_pem_path: str = Field(
        default="", description="PEM file with the client certificate that is shown to the backend."
    )
    client_key_path: str = Field(
        default="", description="PEM file with the private key of that certificate."
    )
    server_name: str = Field(
        default="",
        description="Name expected in the backend's certificate. Empty: the host of "
        "backend.address.",
    )


class BackendSettings(Section):
    """The backend that the proxy protects."""

    address: Address = Field(
        default="localhost:19540",
        description="Address of the backend, to which permitted calls are sent.",
    )
    connect_timeout: Seconds = Field(
        default=5.0, description="Deadline of one attempt to connect to the backend."
    )
    pool: PoolSettings = PoolSettings()
    tls: BackendTlsSettings = BackendTlsSettings()
