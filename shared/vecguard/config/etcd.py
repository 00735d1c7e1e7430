"""Settings of the connection to etcd. Names and meanings are Milvus's."""

from typing import Annotated, Literal

from pydantic import Field

from vecguard.config.fields import Addresses, Expected, Milliseconds, SecretText, Section, one_of
from vecguard.secret import Secret

TlsVersion = Literal["1.0", "1.1", "1.2", "1.3"]
PathPart = Annotated[str, Field(min_length=1), Expected("text that is not empty")]


class EtcdSslSettings(Section):
    """TLS on connections to etcd."""

    enabled: bool = Field(default=False, description="Whether to connect to etcd with TLS.")
    tls_cert: str = Field(
        default="", description="PEM file with the client certificate that is shown to etcd."
    )
    tls_key: str = Field(
        default="", description="PEM file with the private key of that certificate."
    )
    tls_ca_cert: str = Field(
        default="",
        description="PEM file with the CA certificates by which etcd's certificate is verified.",
    )
    tls_min_version: Annotated[TlsVersion, one_of(('"1.0"', '"1.1"', '"1.2"', '"1.3"'))] = Field(
        default="1.2",
        description="Minimum TLS version for connections to etcd. Milvus's own default is 1.3, "
        "which older releases such as etcd 3.5.1 do not support.",
    )


class EtcdAuthSettings(Section):
    """The login to etcd."""

    enabled: bool = Field(default=False, description="Whether to log in to etcd.")
    user_name: str = Field(default="", description="User name for etcd.")
    password: SecretText = Field(
        default_factory=lambda: Secret(""), description="Password for etcd."
    )


class EtcdSettings(Section):
    """The etcd that stores users, passwords and roles. Only root coord connects to it."""

    endpoints: Addresses = Field(
        default=("localhost:2379",), description="Addresses of etcd's members."
    )
    root_path: PathPart = Field(
        default="by-dev",
        description="First part of every key in etcd. The default is Milvus's own. Parts are "
        "joined as in Milvus (Go's path.Join): a leading slash and spaces are significant, `a//b` "
        "becomes `a/b`, and a trailing slash is removed.",
    )
    meta_sub_path: PathPart = Field(
        default="meta",
        description="Second part of every key in etcd, joined in the same way. The default is "
        "Milvus's own.",
    )
    request_timeout: Milliseconds = Field(
        default=10_000, description="Deadline of one request to etcd."
    )
    ssl: EtcdSslSettings = EtcdSslSettings()
    auth: EtcdAuthSettings = Field(default_factory=EtcdAuthSettings)
