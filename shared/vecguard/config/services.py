"""Settings of the services' ports and of the addresses of root coord and the backend."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import (
    Address,
    Addresses,
    Count,
    ListenAddress,
    MessageSize,
    NameExtras,
    OptionalAddress,
    Port,
    Seconds,
    Section,
)
from vecguard.config.method_roles import MethodRoles
from vecguard.config.relay import ConnectionSettings, Http2Settings, PoolSettings

#: A login travels in one header; a longer one exceeds the usual limits for headers.
PasswordLength = Annotated[int, Field(gt=0, le=1024)]


_OPERATIONS_PORT = "Port that metrics and health are served on; 0: any free one."


class OperationsSettings(Section):
    """The operations port of a proxy."""

    ip: ListenAddress = Field(
        default="127.0.0.1",
        description="Address that metrics and health are served on; `0.0.0.0` for all of IPv4, "
        "`::` for all of IPv4 and IPv6. The port has no authentication.",
    )
    port: Port = Field(default=9091, description=_OPERATIONS_PORT)


class RootCoordOperationsSettings(OperationsSettings):
    """The operations port of root coord. It differs from the proxy's: one file may serve both."""

    port: Port = Field(default=9092, description=_OPERATIONS_PORT)


class NameValidationSettings(Section):
    """The rules for user names."""

    extra_chars: NameExtras = Field(
        default="",
        description="Characters allowed in user names beside letters, digits and underscore: "
        "any of . and -",
    )


class ProxyGrpcSettings(Section):
    """Limits of one message in each direction."""

    server_max_recv_size: MessageSize = Field(
        default=268_435_456,
        description="Largest message of a request, in bytes as sent, compressed or not. A larger "
        "one is refused with RESOURCE_EXHAUSTED.",
    )
    server_max_send_size: MessageSize = Field(
        default=268_435_456,
        description="Largest message of an answer, in bytes as sent, compressed or not. A call "
        "with a larger one ends with RESOURCE_EXHAUSTED.",
    )


class RoleNameValidationSettings(Section):
    """Which characters names of roles may have."""

    allowed_chars: str = Field(
        default="$",
        description="Characters that a role's name may have after the first one, besides letters, "
        "digits and underscores.",
    )


class ProxySettings(Section):
    """Settings of the proxy and its public port."""

    ip: ListenAddress = Field(
        default="0.0.0.0",
        description="Address that clients connect to; `::` for all of IPv4 and IPv6.",
    )
    port: Port = Field(default=19530, description="Port that clients connect to; 0: any free one.")
    workers: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=1,
        description="Processes that serve the port; 0: one per CPU that may be used. A process "
        "uses one CPU, and more to check passwords. Limits count for each.",
    )
    min_password_length: PasswordLength = Field(
        default=6, description="Shortest password that can be set, in characters."
    )
    max_password_length: PasswordLength = Field(
        default=256, description="Longest password that can be set, in characters."
    )
    max_username_length: Annotated[int, Field(gt=0, le=255)] = Field(
        default=32, description="Longest user name, in characters."
    )
    max_user_num: Count = Field(default=100, description="Most users there can be.")
    # An account request is held in memory until it is complete, so its length must be limited.
    max_user_description_length: Annotated[int, Field(ge=0, le=16_384)] = Field(
        default=1024, description="Longest description of a user, in bytes."
    )
    max_role_num: Count = Field(
        default=1000, description="Most roles there can be, admin and public included."
    )
    max_role_description_length: Annotated[int, Field(ge=0, le=16_384)] = Field(
        default=1024, description="Longest description of a role, in bytes."
    )
    enable_public_privilege: bool | None = Field(
        default=None,
        description="Older form of common.security.enablePublicPrivilege; false wins.",
    )
    name_validation: NameValidationSettings = NameValidationSettings()
    role_name_validation: RoleNameValidationSettings = RoleNameValidationSettings()
    method_roles: MethodRoles = Field(
        default_factory=dict,
        description="For backends other than Milvus: who may call a method. A user needs one of "
        "the roles, or admin. The path /package.Service/* stands for the methods of a service "
        "that have no entry of their own. Methods without an entry need a login only.",
    )
    grpc: ProxyGrpcSettings = ProxyGrpcSettings()
    http2: Http2Settings = Http2Settings()
    connections: ConnectionSettings = ConnectionSettings()
    operations: OperationsSettings = OperationsSettings()
    forward_authorization: bool = Field(
        default=False,
        description="Whether the backend gets the authorization header. A Milvus that checks it "
        "refuses a password changed here until Milvus is restarted.",
    )
    drain_timeout: Seconds = Field(
        default=30.0, description="How long a stop waits for open requests, in seconds."
    )


class RootCoordSettings(Section):
    """Settings of root coord, which owns the credentials."""

    ip: ListenAddress = Field(
        default="127.0.0.1",
        description="Address that proxies connect to; `0.0.0.0` for all of IPv4, `::` for all of "
        "IPv4 and IPv6. Set common.security.internaltlsEnabled before you open it to a network.",
    )
    port: Port = Field(default=53100, description="Port that proxies connect to; 0: any free one.")
    advertised_address: OptionalAddress = Field(
        default="",
        description="Where people find this root coord, as a standby tells them while this is the "
        "active one; empty: its host's name, or rootCoord.ip.",
    )
    addresses: Addresses = Field(
        default=("localhost:53100",),
        description="Where proxies look for root coord: the addresses of all its processes.",
    )
    allow_similar_prefix: bool = Field(
        default=False,
        description="Create root even if etcd has credentials under a prefix that differs from "
        "etcd.rootPath/etcd.metaSubPath only in slashes, dots, letter case or blanks. Set it only "
        "for a second installation in the same etcd.",
    )
    operations: RootCoordOperationsSettings = RootCoordOperationsSettings()
    max_connections: Count = Field(
        default=2048,
        description="Most connections to rootCoord.port: some for each worker of each proxy. At "
        "the limit the oldest that has not sent its first frames makes room for a newcomer, then "
        "the oldest without an open call. Each needs a file descriptor.",
    )
    drain_timeout: Seconds = Field(
        default=30.0, description="How long a stop waits for open requests, in seconds."
    )


class BackendTlsSettings(Section):
    """TLS settings of the connection to the backend."""

    enabled: bool = Field(default=False, description="Whether the backend is reached over TLS.")
    ca_pem_path: str = Field(
        default="",
        description="File with the CAs that may have signed its certificate (PEM); "
        "empty: those of the system.",
    )
    client_pem_path: str = Field(
        default="", description="File with the certificate to show to the backend (PEM)."
    )
    client_key_path: str = Field(default="", description="File with its key (PEM).")
    server_name: str = Field(
        default="", description="Name expected in its certificate; empty: that of the address."
    )


class BackendSettings(Section):
    """Settings of the backend that the proxy protects."""

    address: Address = Field(
        default="localhost:19540", description="Where authenticated requests go."
    )
    connect_timeout: Seconds = Field(
        default=5.0, description="Deadline of a connection attempt, in seconds."
    )
    pool: PoolSettings = PoolSettings()
    tls: BackendTlsSettings = BackendTlsSettings()
