"""`edge-tdn doctor`: try everything that `run` would use, and report what is wrong and how to fix it."""

import argparse
import json
import logging

from edge_tdn.cli.options import Commands, add_command, add_config
from edge_tdn.cli.timing import DEFAULT_DOCTOR, DoctorTiming

HELP = """\
Try once everything that `run` would use: configuration, model and its speed, folders, broker, and
every camera for some seconds. Examine clock, decoders, devices and service of this machine. Report
what is wrong and how to fix it. A running daemon is not disturbed. Permissions are examined for the
user who runs the command: the service has a user of its own.

  edge-tdn doctor --config site.toml

exit status: 0 nothing has failed, although there may be warnings; otherwise the first of these that has failed:
  78 configuration or model, 69 broker, 66 a camera, 1 anything else
"""


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
