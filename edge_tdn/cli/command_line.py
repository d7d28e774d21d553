"""The command line of `edge-tdn`: its commands, and what becomes of their errors."""

import argparse
import logging
from collections.abc import Sequence

from edge_tdn import __version__
from edge_tdn.cli import bench, check, demo, forget, record, replay, run, simulate, status, watch
from edge_tdn.cli.doctor import doctor
from edge_tdn.errors import EdgeTdnError
from edge_tdn.process import log
from edge_tdn.process.program import release_signals

COMMANDS = (
    demo,
    check,
    doctor,
    run,
    status,
    watch,
    forget,
    replay,
    record,
    bench,
    simulate,
)  # in the order of the help
EPILOG = """exit status: 0 ended as requested, 66 no video, 69 no broker, 71 device out of memory,
  78 invalid configuration or model, 130 interrupted, 1 any other error (status: something has failed; 3: only
  stopped on purpose)

first steps:
  edge-tdn demo                        see it work; needs no camera, broker or model
  edge-tdn demo --source /dev/video0   the same with your camera
  edge-tdn check --config site.toml    validate a configuration
  edge-tdn doctor --config site.toml   try its broker, cameras and model on this machine
  edge-tdn run --config site.toml      serve its cameras
  edge-tdn status --config site.toml   show their state
  edge-tdn forget HOST                 remove a host that is gone from the broker
  edge-tdn bench --model MODEL         find the fastest settings for this host
  edge-tdn watch                       print the events that hosts publish
  edge-tdn replay VIDEO --config site.toml   print the events of a recording
  edge-tdn record --source CAMERA --label NAME --out DIR   record clips to learn an action from
  edge-tdn simulate demo:              serve a simulated camera
"""


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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="edge-tdn",
        description="Recognise actions in live cameras with a Temporal Difference Network, and publish MQTT events.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"edge-tdn {__version__}")
    whole.add_argument("--verbose", action="store_true", help="log debug messages too")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return whole
