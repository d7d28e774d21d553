"""Options that several commands share."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from edge_tdn.config.checks import check_device
from edge_tdn.help import parser as help_parser
from edge_tdn.help.command_help import CommandHelp
from edge_tdn.help.parser import Commands as Commands
from edge_tdn.help.parser import Parser

SITE = Path("/etc/edge-tdn/site.toml")  # where packages and `make install` put the configuration
LOCAL_BROKER = "mqtt://localhost:1883"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    log_level: int,
    summary: str,
    command_help: CommandHelp,
) -> Parser:
    """Add a command that is carried out by `run` and logs from `log_level` upwards."""
    parser = help_parser.add_command(commands, name, run, summary, command_help, log_level=log_level)
    parser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help="log debug messages too")
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=SITE,
        metavar="FILE",
        help="the configuration, TOML; see `edge-tdn reference` (default: %(default)s)",
    )


def add_camera_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the configuration of a camera, which cli/chosen_camera.py evaluates."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="the configuration of the camera (default: that of an installed host)",
    )


def add_broker(
    parser: argparse.ArgumentParser,
    base: str | None = None,
    base_help: str = "topic prefix, in which + stands for any one level (default: edge-tdn/+, or that of the "
    "configuration)",
) -> None:
    """Add the options that cli/chosen_broker.py evaluates. `base`: the default of --base."""
    parser.add_argument(
        "--broker",
        metavar="URL",
        help=f"address of the broker (default: that of the configuration, or {LOCAL_BROKER})",
    )
    parser.add_argument("--base", default=base, help=base_help)
    parser.add_argument("--protocol", choices=("5", "3.1.1"), default="5", help="MQTT version (default: 5)")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"take broker, user and topics from a configuration (default without --broker: {SITE}, if it exists)",
    )


def broker_config(options: argparse.Namespace) -> Path | None:
    """Return the configuration that the options of `add_broker` choose; None: they name a broker, or there is none."""
    named: Path | None = options.config
    if named or options.broker:
        return named
    return SITE if os.path.isfile(SITE) else None  # noqa: PTH113  (False, too, where this user may not look)


def device(text: str) -> str:
    """Return the name of a device in its usual capitals."""
    try:
        return check_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: 0 or more seconds")
    return value


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return an option type for whole numbers in a range."""

    def whole(text: str) -> int:
        if not (text.isascii() and text.isdigit() and minimum <= int(text) <= maximum):
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {minimum} to {maximum}")
        return int(text)

    return whole
