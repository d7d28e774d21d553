"""The broker and the topics that `--broker`, `--base` and `--protocol`, or `--config`, choose."""

import argparse
from typing import NamedTuple

from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.load import load, parse
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.errors import ConfigError


class ChosenBroker(NamedTuple):
    """The broker to connect to, the credentials for it, and the topic prefix, in which + stands for any one level."""

    config: BrokerConfig
    access: Access
    base: str


def chosen_broker(options: argparse.Namespace) -> ChosenBroker:
    """Evaluate the options of `options.add_broker`. Raises ConfigError."""
    if options.config:
        config = load(options.config)
        return ChosenBroker(config.broker, broker_access(config.broker, options.config.parent), config.base_topic)
    broker = {"url": options.broker, "protocol": options.protocol}
    config = parse({"broker": broker, "camera": [{"name": "any", "source": "any"}]}, "command line")
    levels = options.base.split("/")
    if not all(levels) or any(level != "+" and set(level) & set("+#") for level in levels):
        raise ConfigError(
            f"--base {options.base!r}: a topic without / at its ends, in which + stands for any one level; topics "
            "below it are included"
        )
    return ChosenBroker(config.broker, Access(), options.base)
