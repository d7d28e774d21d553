"""The broker and the topics that `--broker`, `--base` and `--protocol`, or a configuration, choose."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pydantic import ValidationError

from edge_tdn.cli.options import LOCAL_BROKER, broker_config
from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.load import NO_CAMERA, load, parse
from edge_tdn.config.tables import CREDENTIAL, BrokerConfig, Config
from edge_tdn.errors import ConfigError

ALL_HOSTS = "edge-tdn/+"  # unless broker.base is set
NOTHING: Mapping[str, str] = MappingProxyType({})


class ChosenBroker(NamedTuple):
    """The broker to connect to, the credentials for it, and the topic prefix, in which + stands for any one level."""

    config: BrokerConfig
    access: Access
    base: str


def chosen_broker(options: argparse.Namespace, given: Mapping[str, str] = NOTHING) -> ChosenBroker:
    """Evaluate the options of `options.add_broker`. Raises ConfigError.

    `given`: keys of [broker] that replace those of the configuration; files by absolute paths.
    """
    path = broker_config(options)
    if path:
        config = broker_site(options, path)
        broker = _replaced(config.broker, given)
        with _with_remedy(options, None if "password_file" in given else config):
            access = broker_access(broker, path.parent)
    else:
        table = {"url": options.broker or LOCAL_BROKER, "protocol": options.protocol, **given}
        config = parse({"broker": table, "camera": [NO_CAMERA]}, "command line")
        broker, access = config.broker, broker_access(config.broker, Path.cwd())
    base = options.base
    if base is None:
        base = config.base_topic if path else ALL_HOSTS
    levels = base.split("/")
    if not all(levels) or any(level != "+" and set(level) & set("+#") for level in levels):
        raise ConfigError(
            f"--base {base!r}: a topic without / at its ends, in which + stands for any one level; topics "
            "below it are included"
        )
    return ChosenBroker(broker, access, base)


def _replaced(broker: BrokerConfig, given: Mapping[str, str]) -> BrokerConfig:
    """Return the table with the keys that `given` replaces. ConfigError: they do not fit together."""
    if not given:
        return broker
    try:
        return BrokerConfig.model_validate({**broker.model_dump(), **given})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"command line: broker: {reason}") from error


def broker_site(options: argparse.Namespace, path: Path) -> Config:
    """Read the configuration that `options` choose, for its broker. Raises ConfigError."""
    with _with_remedy(options):
        return load(path, needs_camera=False)


@contextmanager
def _with_remedy(options: argparse.Namespace, config: Config | None = None) -> Iterator[None]:
    """Add to a ConfigError what else can be done if the installed configuration was taken without being named."""
    try:
        yield
    except ConfigError as error:
        if options.config:
            raise
        file = config.broker.password_file if config else ""
        name = file.removeprefix(CREDENTIAL)
        as_root = f"as root: `systemd-run --pty -q -p LoadCredential={name}:edge-tdn.site.{name} edge-tdn ...`; "
        remedy = "this file is read unless --config names another one, or --broker URL a broker"
        raise ConfigError(f"{error}; {as_root if name != file else ''}{remedy}") from error
