"""Settings of the connection to etcd. Names and meanings are Milvus's."""

from typing import Annotated, Literal

from pydantic import Field

from vecguard.config.fields import Addresses, Expected, Milliseconds, SecretText, Section, one_of
from vecguard.secret import Secret

TlsVersion = Literal["1.0", "1.1", "1.2", "1.3"]
PathPart = Annotated[str, Field(min_length=1), Expected("text that is not empty")]


class EtcdSslSettings(Section):
    """TLS settings of the connection to etcd."""

    enabled: bool = Field(default=False, description="Whether etcd is reached over TLS.")
    tls_cert: str = Field(default="", description="File with the client certificate (PEM).")
    tls_key: str = Field(default="", description="File with the client certificate's key (PEM).")
    tls_ca_cert: str = Field(
        default="", description="File with the CAs that may have signed etcd's certificate (PEM)."
    )
    tls_min_version: Annotated[TlsVersion, one_of(('"1.0"', '"1.1"', '"1.2"', '"1.3"'))] = Field(
        default="1.2",
        description="Oldest TLS version that is accepted from etcd. Milvus's own default is "
        "1.3, which older releases such as etcd 3.5.1 do not speak.",
    )


class EtcdAuthSettings(Section):
    """The login at etcd."""

    enabled: bool = Field(default=False, description="Whether to log in at etcd.")
    user_name: str = Field(default="", description="User name at etcd.")
    password: SecretText = Field(
        default_factory=lambda: Secret(""), description="Password at etcd."
    )


class EtcdSettings(Section):
    """The etcd that stores the credentials."""

    endpoints: Addresses = Field(
        default=("localhost:2379",), description="Addresses of etcd's members."
    )
    root_path: PathPart = Field(
        default="by-dev",
        description="First part of every key; Milvus's own default. It is joined to the other "
        "parts as in Milvus (Go's path.Join): a leading slash and blanks are significant, `a//b` "
        "becomes `a/b`, a trailing slash is dropped.",
    )
    meta_sub_path: PathPart = Field(
        default="meta",
        description="Second part of every key, joined in the same way; Milvus's own default.",
    )
    request_timeout: Milliseconds = Field(
        default=10_000, description="Deadline of one request to etcd, in milliseconds."
    )
    ssl: EtcdSslSettings = EtcdSslSettings()
    auth: EtcdAuthSettings = Field(default_factory=EtcdAuthSettings)
