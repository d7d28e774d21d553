"""`edge-tdn doctor`: try everything that `run` would use, and report what is wrong and how to fix it."""

import argparse
import json
import logging

from edge_tdn.cli.options import Commands, add_command, add_config
from edge_tdn.cli.timing import DEFAULT_DOCTOR, DoctorTiming
from edge_tdn.help.command_help import CommandHelp, Example

HELP = CommandHelp(
    description="""\
Try once everything that `run` would use, and report what is wrong and how to fix it: configuration, model and its
speed, folders, broker, and every camera for some seconds; clock, decoders, devices and service of this machine. Use it
when a new host is set up, and when something has stopped working.

A running daemon is not disturbed. Permissions are examined for the user who runs the command: the service has a user
of its own.
""",
    examples=(
        Example("examine the installed configuration", "edge-tdn doctor"),
        Example("examine one in this folder", "edge-tdn doctor --config site.toml"),
        Example("for a program: every finding as JSON", "edge-tdn doctor --json"),
    ),
    exit_status={
        0: "nothing has failed, although there may be warnings",
        66: "a camera has failed; 69 and 78 come first",
        69: "the broker has failed; 78 comes first",
        78: "configuration or model has failed",
        1: "anything else has failed",
    },
)


def add_parser(commands: Commands) -> None:
    summary = "try broker, cameras, model and machine; report fixes"
    parser = add_command(commands, "doctor", run, logging.CRITICAL, summary, HELP)
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document with every finding")


def run(options: argparse.Namespace, timing: DoctorTiming = DEFAULT_DOCTOR) -> int:
    """Print the findings as they come, or with `--json` one document at the end."""
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.doctor.checklist import exit_status, print_checklist, silently

    if not options.json:
        return print_checklist(plain_console(), options.config, timing)
    findings = silently(options.config, timing)
    status = exit_status(findings)
    document = {"exit_status": status, "findings": [finding.document() for finding in findings]}
    print(json.dumps(document, indent=1))  # noqa: T201  (for pipes)
    return status
