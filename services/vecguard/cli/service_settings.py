"""Loads the services' configuration file for commands that work beside the services."""

import os
from pathlib import Path
from typing import Annotated

import typer

from vecguard.cli.reasons import Reason
from vecguard.config import Settings, load_settings
from vecguard.errors import ConfigurationError
from vecguard.etcd import EtcdClient
from vecguard.etcd.configured import client_of
from vecguard.tls import connections
from vecguard.tls.reloading import context_of

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="VECGUARD_CONFIG",
        metavar="FILE",
        help="The services' YAML file; VECGUARD__ variables override it.",
        rich_help_panel="Services",
    ),
]


class UnusableSettingsError(ConfigurationError):
    """The settings that the command was given cannot be used."""

    reason = Reason.USAGE


def settings_of(config: Path | None) -> Settings:
    """Returns the settings of a service that is given this file and this environment.

    Raises:
        UnusableSettingsError: the settings are wrong; the text lists every fault.
    """
    try:
        return load_settings(config, os.environ)
    except ConfigurationError as error:
        raise UnusableSettingsError(*error.lines) from error


def names_etcd(settings: Settings) -> bool:
    """Returns whether the file or the environment sets `etcd.endpoints`, which a proxy need not."""
    return "endpoints" in settings.etcd.model_fields_set


def names_backend(settings: Settings) -> bool:
    """Returns whether `backend.address` is set, which root coord does not need."""
    return "address" in settings.backend.model_fields_set


def etcd_of(settings: Settings) -> EtcdClient:
    """Returns a client of etcd with root coord's settings.

    Raises:
        ConfigurationError: a TLS file is not usable.
    """
    return client_of(settings.etcd, context_of(connections.etcd_client(settings)))
