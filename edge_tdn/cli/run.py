"""`edge-tdn run`: serve the cameras of a configuration."""

import argparse
import faulthandler
import logging

from edge_tdn.cli.options import Commands, add_command, add_config
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.process import log
from edge_tdn.process.signals import Process, run_until_signalled

HELP = CommandHelp(
    description="""\
Serve the cameras of a configuration until SIGTERM or Ctrl-C: recognise actions and publish them. This is the daemon
that systemd starts; start it by hand to watch its log while you set it up.

On SIGHUP the configuration is read again, and the model too if its folder has changed. The new configuration is
prepared while the current one keeps running: if anything is wrong with it, the log and the daemon's status report it
and nothing changes. Cameras whose tables have not changed keep running. `host`, broker.base, [outbox], [metrics] and
[web] need a restart.

With a port under [web] there is a page for a browser; the log has a link to it, which logs in once.
""",
    examples=(
        Example("serve the installed configuration", "edge-tdn run"),
        Example("serve one in this folder, with a detailed log", "edge-tdn run --config site.toml --verbose"),
        Example(
            "only if the configuration is right",
            "edge-tdn check --config site.toml && edge-tdn run --config site.toml",
        ),
    ),
    exit_status={
        0: "stopped as requested, or every file has ended",
        66: "no camera could be played, and all are files",
        71: "",
        78: "configuration, credential or model is wrong; systemd does not restart the service",
        1: "",
    },
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "run", run, logging.INFO, "serve the cameras of a configuration", HELP)
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    def begin() -> Process:
        from edge_tdn.cli.page_opener import page_opener
        from edge_tdn.config.load import load
        from edge_tdn.service.daemon import Daemon

        config = load(options.config)
        log.configure(config.log.level, config.log.format)
        return Daemon(config, options.config.parent, options.config, open_page=page_opener(config))

    faulthandler.enable(file=2)  # prints the stacks of all threads when a library crashes or the watchdog aborts
    run_until_signalled(begin)
    return 0
