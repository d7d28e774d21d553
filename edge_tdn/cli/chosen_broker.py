"""The broker and the topics that `--broker`, `--base` and `--protocol`, or `--config`, choose."""

import argparse
from typing import NamedTuple

from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.load import NO_CAMERA, load, parse
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.errors import ConfigError

ALL_HOSTS = "edge-tdn/+"  # unless broker.base is set


class ChosenBroker(NamedTuple):
    """The broker to connect to, the credentials for it, and the topic prefix, in which + stands for any one level."""

    config: BrokerConfig
    access: Access
    base: str


def chosen_broker(options: argparse.Namespace) -> ChosenBroker:
    """Evaluate the options of `options.add_broker`. Raises ConfigError."""
    if options.config:
        config = load(options.config, needs_camera=False)
        access = broker_access(config.broker, options.config.parent)
    else:
        broker = {"url": options.broker, "protocol": options.protocol}
        config = parse({"broker": broker, "camera": [NO_CAMERA]}, "command line")
        access = Access()
    base = options.base
    if base is None:
        base = config.base_topic if options.config else ALL_HOSTS
    levels = base.split("/")
    if not all(levels) or any(level != "+" and set(level) & set("+#") for level in levels):
        raise ConfigError(
            f"--base {base!r}: a topic without / at its ends, in which + stands for any one level; topics "
            "below it are included"
        )
    return ChosenBroker(config.broker, access, base)
