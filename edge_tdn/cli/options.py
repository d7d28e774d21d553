"""Options that several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    log_level: int,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    """Add a command that is carried out by `run` and logs from `log_level` upwards.

    `summary` is its line in `edge-tdn --help`; `description` is printed by its own help, as it is.
    """
    parser = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run, log_level=log_level)
    return parser


def add_config(parser: argparse.ArgumentParser, explanation: str = "TOML file") -> None:
    parser.add_argument("--config", type=Path, required=True, help=explanation)


def add_broker(
    parser: argparse.ArgumentParser,
    base: str | None = None,
    base_help: str = "topic prefix, in which + stands for any one level (default: edge-tdn/+, or that of --config)",
) -> None:
    """Add the options that cli/chosen_broker.py evaluates. `base`: the default of --base."""
    parser.add_argument(
        "--broker",
        default="mqtt://localhost:1883",
        metavar="URL",
        help="address of the broker (default: mqtt://localhost:1883)",
    )
    parser.add_argument("--base", default=base, help=base_help)
    parser.add_argument("--protocol", choices=("5", "3.1.1"), default="5", help="MQTT version (default: 5)")
    parser.add_argument("--config", type=Path, help="take broker, user and topics from a configuration instead")


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
