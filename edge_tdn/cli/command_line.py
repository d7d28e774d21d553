"""The command line of `edge-tdn`: its commands, and what becomes of their errors."""

import logging
from collections.abc import Sequence

from edge_tdn import __version__
from edge_tdn.cli import (
    bench,
    check,
    demo,
    docs,
    forget,
    record,
    reference,
    replay,
    run,
    simulate,
    status,
    watch,
    zones,
)
from edge_tdn.cli.doctor import doctor
from edge_tdn.cli.options import SITE
from edge_tdn.errors import EdgeTdnError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Parser, program
from edge_tdn.help.shell_commands import add_shell_commands
from edge_tdn.process import log
from edge_tdn.process.program import release_signals

COMMANDS = (  # in the order of the help
    demo,
    check,
    doctor,
    run,
    status,
    watch,
    forget,
    replay,
    record,
    zones,
    bench,
    simulate,
    reference,
    docs,
)
HELP = CommandHelp(
    description="""\
Recognise actions in live cameras with a Temporal Difference Network, and publish them as MQTT events. Every command
has a help of its own, with examples: edge-tdn check --help.
""",
    examples=(
        Example("see it work; needs no camera, broker or model", "edge-tdn demo"),
        Example("start a configuration of your own, then validate it", "edge-tdn check --config site.toml"),
        Example("try its broker, cameras and model on this machine", "edge-tdn doctor --config site.toml"),
        Example("serve its cameras", "edge-tdn run --config site.toml"),
        Example("print the events that hosts publish", "edge-tdn watch"),
    ),
    exit_status={0: "ended as requested", 1: "", 66: "", 69: "", 71: "", 78: ""},
    files={str(SITE): "the configuration, where --config names no other"},
)


def run_command(arguments: Sequence[str] | None) -> int:
    """Run a command and return the exit status. An error that a user can fix is printed without a traceback."""
    options = parser().parse_args(arguments)
    log.set_up(logging.DEBUG if options.verbose else options.log_level)
    if options.run is not run.run:  # which handles signals itself
        release_signals()
    try:
        exit_status: int = options.run(options)
    except EdgeTdnError as error:
        log.report_error(error)
        return error.exit_status
    except OSError as error:
        log.report_error(error)
        return 1
    return exit_status


def parser() -> Parser:
    """Return the parser of all commands."""
    whole, commands = program("edge-tdn", HELP, __version__)
    whole.add_argument("--verbose", action="store_true", help="log debug messages too")
    for command in COMMANDS:
        command.add_parser(commands)
    add_shell_commands(commands, parser)
    return whole
