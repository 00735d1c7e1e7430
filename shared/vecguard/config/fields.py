"""Defines the base class of configuration sections and the kinds of their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from annotated_types import MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

from vecguard import addresses, networks
from vecguard.config.problems import complaint
from vecguard.secret import Secret

#: The text shown in place of a secret; it is refused as the value of a secret.
REDACTED: Final = "<redacted>"

#: Milvus's spellings that are not plain camel case.
_IRREGULAR_NAMES: Final = {"tls_ca_cert": "tlsCACert"}


def file_name(attribute: str) -> str:
    """Returns the spelling of an attribute in a configuration file."""
    return _IRREGULAR_NAMES.get(attribute) or to_camel(attribute)


class Section(BaseModel):
    """A group of settings: immutable, without unknown keys, without silent conversions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=file_name,
        validate_by_alias=True,
        validate_by_name=True,
        # pydantic's own texts would otherwise quote the value, secrets too.
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts, in the plural: seconds, bytes."""

    name: str


@dataclass(frozen=True, slots=True)
class Expected:
    """Describes the expected value, where its type and bounds do not."""

    text: str


class _SecretSchema:
    """Lets pydantic accept a text, or a secret made in code, as a `Secret`."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            # An empty secret hides no value, and must load again as empty.
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: REDACTED if secret else ""
            ),
        )

    @staticmethod
    def _validate(value: object) -> Secret[str]:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("secret_type", "a secret must be text")
        if value == REDACTED:
            raise PydanticCustomError(
                "secret_masked", "this is the mask that --print-config prints, not the secret"
            )
        return Secret(value)


def _split_at_commas(value: object) -> object:
    """Returns a list from `a, b` or from a YAML list; other values unchanged, to be refused."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def _address(value: str) -> str:
    addresses.Address.parse(value)
    return value


def _network(value: str) -> str:
    try:
        networks.parse_network(value)
    except networks.InvalidNetworkError as error:
        raise complaint(error.message) from None
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _only_dots_and_hyphens(value: str) -> str:
    if set(value) - set(".-"):
        raise ValueError("only . and - can be allowed")
    return value


LowerCase: Final = BeforeValidator(_lower)

SecretText = Annotated[Secret[str], _SecretSchema, Expected("text")]

Port = Annotated[int, Field(ge=0, le=65535)]
Milliseconds = Annotated[int, Field(gt=0), Unit("milliseconds")]
Seconds = Annotated[float, Field(gt=0), Unit("seconds")]
#: 0 has a meaning of its own, such as no limit.
SecondsOrZero = Annotated[float, Field(ge=0), Unit("seconds")]
Count = Annotated[int, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0), Unit("bytes")]
#: An account request is held in memory until it is complete, so its length must be limited.
DescriptionLength = Annotated[int, Field(ge=0, le=16_384), Unit("bytes")]
#: The length of an HTTP/2 or gRPC message is a signed 32-bit number in most implementations.
MessageSize = Annotated[int, Field(gt=0, le=2**31 - 1), Unit("bytes")]

_ADDRESS: Final = "host:port without a scheme, such as localhost:19530 or [::1]:19530"

ListenAddress = Annotated[
    str,
    AfterValidator(addresses.parse_host),
    Expected("one IP address or host name, without a port (:: for all addresses)"),
]
Address = Annotated[str, AfterValidator(_address), Expected(_ADDRESS)]
OptionalAddress = Annotated[
    str,
    AfterValidator(lambda value: _address(value) if value else value),
    Expected(f"{_ADDRESS}, or empty"),
]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...],
    BeforeValidator(_split_at_commas),
    MinLen(1),
    Expected(f"a list, or text separated by commas, of one or more {_ADDRESS}"),
]
NetworkTexts = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...],
    BeforeValidator(_split_at_commas),
    Expected(
        "a list, or text separated by commas, of IP addresses and networks such as 10.0.0.0/8 or "
        "2001:db8::/32"
    ),
]
Names = Annotated[
    tuple[Annotated[str, MinLen(1)], ...],
    BeforeValidator(_split_at_commas),
    Expected("a list, or text separated by commas"),
]
NameExtras = Annotated[
    str, AfterValidator(_only_dots_and_hyphens), Expected("text that consists only of . and -")
]


def one_of(values: Sequence[str]) -> Expected:
    """Returns the description of a choice."""
    return Expected("one of " + ", ".join(values))
