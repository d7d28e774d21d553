"""The command line: edge-tdn demo | run | check | bench | watch | replay | simulate | status | doctor."""

import argparse
import faulthandler
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edge_tdn import __version__
from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.messages import NS_PER_MS
from edge_tdn.process import log
from edge_tdn.simulator.faults import FAULTS, Planned

if TYPE_CHECKING:
    from rich.console import Console

    from edge_tdn.config.tables import Access, BrokerConfig
    from edge_tdn.process.signals import Process

EPILOG = """exit status: 0 ended as asked, 66 no pictures, 69 no broker, 71 device out of memory,
  78 configuration or model wrong

first steps:
  edge-tdn demo                        see it work, nothing needed
  edge-tdn demo --source /dev/video0   the same with your camera
  edge-tdn check --config site.toml    is the configuration right?
  edge-tdn doctor --config site.toml   do broker, cameras and model work here?
  edge-tdn run --config site.toml      serve
  edge-tdn status --config site.toml   how are they, now that it runs?
  edge-tdn bench --model MODEL         what is fastest here?
  edge-tdn replay VIDEO --config site.toml   what would it have told of this recording?
  edge-tdn simulate demo:              no camera? one to try with
"""
BENCH = """Measures here, in about a minute, what a hop costs: encoding 1, 2 or 4 new segments and classifying the
clip, in each precision of the model, on each device, with one, half and all threads. Prints the lines to configure.

  edge-tdn bench                               the model that comes with the package
  edge-tdn bench --model models/ssv2           yours: a folder that edge-tdn-export wrote
  edge-tdn bench --precision int8 --device CPU --seconds 20 --json bench.json

Nothing else should run meanwhile: cameras that are served now take their share. The best is the fastest that
`edge-tdn-export parity` has proven equal to PyTorch; all cores for the network leave none for decoding, so where two
are about as fast, take fewer threads.
"""
CHECK = """Opens all that `run` would open on this machine, the model included, and prints what it would do. It connects
to nothing: `doctor` does. What is wrong is told with file, line, key and what is allowed.

  edge-tdn check --config site.toml
"""
RUN = """Serves the cameras of a configuration, until SIGTERM or Ctrl-C.

SIGHUP has it read the configuration again, and the model where its folder is another. All of it is tried first, beside
what serves: if anything is wrong, the log and the daemon's status say what, and nothing changes. Cameras whose tables
are the same play on. `host`, broker.base, [outbox] and [metrics] need a restart.

  kill -HUP PID
"""
REPLAY = """Plays a recording as if it came from a camera of the configuration, through its model and [decide], faster
than real time, and prints the events as JSON lines. No broker is needed. The same recording gives the same events every
time: change a threshold, replay, and compare.

  edge-tdn replay yard.mp4 --config site.toml
  edge-tdn replay yard.mp4 --config site.toml --camera yard --at 2026-03-01T22:00:00Z
  edge-tdn replay yard.mp4 --config site.toml --json after.jsonl && diff before.jsonl after.jsonl
  edge-tdn replay demo: --config configs/demo.toml --plot demo.png

Of the camera's own table count hop, max_gap_s, motion_gate and decoder. What stands beside the events (length, speed,
actions) goes to stderr.
"""
STATUS = """Prints how the hosts that speak to a broker are, and their cameras. It stands at the broker, retained: the
hosts do nothing for it.

  edge-tdn status                        all hosts at the broker of this machine
  edge-tdn status --config site.toml     the host of a configuration, with its broker, user and password
  edge-tdn status --broker mqtt://broker.lan --base edge-tdn/barn --watch

exit status: 0 every host is online and delivers, and every camera streams; 1 something is not so; 69 no broker
"""
DOCTOR = """Tries once all that `run` would use: configuration, model and its speed, folders, broker, every camera for
some seconds, and of this machine clock, decoders, devices and service. A running daemon is not disturbed.
What may be read, written and opened is judged for the user who asks: the service has a user of its own.

  edge-tdn doctor --config site.toml

exit status: 0 nothing has failed, whatever was warned of; else of what failed the first of: 78 configuration or model,
  69 broker, 66 a camera, 1 anything else
"""
SIMULATE = """Serves videos as RTSP cameras, endlessly: to try a configuration without a camera, or with one that fails.
Prints the address of each, and the lines to configure. Every camera has a port of its own, from --port on.

  edge-tdn simulate yard.mp4                    rtsp://127.0.0.1:8554/yard
  edge-tdn simulate yard.mp4 door.mp4 --size 640x480 --rate 15
  edge-tdn simulate demo: test: noise:          the project's clip, a moving ball, a still scene with a sensor's noise
  edge-tdn simulate demo: --address 0.0.0.0     for the whole network; then ask for a password:
  edge-tdn simulate demo: --user camera --password-file secret.txt

faults, one at a time for each camera; type its name and Enter, or plan it:
{faults}
  --fault freeze@20+10        from second 20 on, for 10 s
  --fault drop@20+10/60       and again every 60 s
  --fault yard:size@30        one camera alone; until it is ended
  yard drop                   typed: one camera alone; `drop`: all; `ok`: ends it
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; its exit status. Errors that a user can mend are said in one line, without a traceback."""
    options = _parser().parse_args(arguments)
    log.set_up(logging.DEBUG if options.verbose else options.log_level)
    try:
        status: int = options.command(options)
    except EdgeTdnError as error:
        log.report_error(error)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `edge-tdn watch | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        log.report_error(error)
        return 1
    return status


def _console(**options: Any) -> "Console":
    from rich.console import Console  # a daemon has none

    return Console(markup=False, highlight=False, **options)


def _demo(options: argparse.Namespace) -> int:
    from edge_tdn.cli.demo import demo

    demo(_console(), options.source, options.broker, options.model, options.seconds, options.screenshot)
    return 0


def _run(options: argparse.Namespace) -> int:
    from edge_tdn.process.signals import run_until_signalled

    faulthandler.enable(file=2)  # every thread's stack, should a library crash or systemd's watchdog bite

    def begin() -> "Process":
        from edge_tdn.config.tables import load
        from edge_tdn.service.daemon import Daemon

        return Daemon(load(options.config), options.config.parent, options.config)

    run_until_signalled(begin)
    return 0


def _check(options: argparse.Namespace) -> int:
    from edge_tdn.cli.check import check

    check(_console(), options.config)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from edge_tdn.cli import bench
    from edge_tdn.manifest import find_model, open_model

    model = open_model(find_model(options.model, Path.cwd()))
    console = _console(width=bench.WIDTH, soft_wrap=True)
    with TemporaryDirectory() as cache:  # not the daemon's, which would be crowded out of it
        measured = bench.bench(console, model, options.seconds, options.precision, options.device, Path(cache))
    if options.json:
        options.json.write_text(json.dumps(bench.figures(measured, model.manifest.input.segment_s), indent=1) + "\n")
    return 0


def _watch(options: argparse.Namespace) -> int:
    from edge_tdn.cli.watch import watch

    broker, access, base = _broker(options)
    watch(_console(), broker, access, base, options.json, options.replay)
    return 0


def _status(options: argparse.Namespace) -> int:
    from edge_tdn.cli.status import status
    from edge_tdn.cli.status_table import WIDTH

    broker, access, base = _broker(options)
    width = None if sys.stdout.isatty() else WIDTH
    console = _console(width=width)
    return status(console, broker, access, base, options.json, options.watch)


def _doctor(options: argparse.Namespace) -> int:
    from edge_tdn.cli.doctor.doctor import doctor

    return doctor(_console(), options.config, options.json)


def _broker(options: argparse.Namespace) -> "tuple[BrokerConfig, Access, str]":
    """Of the configuration, or of the command line; and whose topics."""
    from edge_tdn.config.tables import Access, broker_access, load, parse

    if options.config:
        config = load(options.config)
        return config.broker, broker_access(config.broker, options.config.parent), config.base_topic
    broker = {"url": options.broker, "protocol": options.protocol}
    config = parse({"broker": broker, "camera": [{"name": "any", "source": "any"}]}, "command line")
    levels = options.base.split("/")
    if not all(levels) or any(level != "+" and set(level) & set("+#") for level in levels):
        raise ConfigError(
            f"--base {options.base!r}: a topic without / at its ends, in which + stands for any one level; what is "
            "below is included"
        )
    return config.broker, Access(), options.base


def _replay(options: argparse.Namespace) -> int:
    from edge_tdn.cli.replay import replay

    console = _console(stderr=True, soft_wrap=True)
    replay(console, options.config, options.file, options.camera, options.at, options.json, options.plot)
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from edge_tdn.cli.simulate import simulate

    console = _console(soft_wrap=True)
    film = (options.size, options.rate, options.codec)
    access = (options.user, options.password_file)
    simulate(console, options.file, options.address, options.port, *film, *access, options.fault)
    return 0


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if min(size) < 16 or size[0] % 2 or size[1] % 2:
        raise argparse.ArgumentTypeError(f"{text}: width x height, even, 16 pixels or more, such as 640x480")
    return size


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {least} to {most}")
        return int(text)

    return whole


def _planned(text: str) -> Planned:
    try:
        return Planned.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: 0 or more seconds")
    return seconds


def _moment(text: str) -> int:
    """Nanoseconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if not 1970 <= moment.year < 9999:
        raise argparse.ArgumentTypeError(f"{text}: a time from 1970 on, such as 2026-03-01T12:00:00Z")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000) * NS_PER_MS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-tdn",
        description="Recognises actions in live cameras with a Temporal Difference Network, and publishes MQTT events.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edge-tdn {__version__}")
    parser.add_argument("--verbose", action="store_true", help="debug messages too")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="see it work: no camera, no broker, no model needed")
    demo.add_argument(
        "--source", default="demo:", help="a file, rtsp://, http(s)://, /dev/video*, gst: (default: own clip)"
    )
    demo.add_argument("--broker", default="", metavar="URL", help="mqtt://HOST[:PORT] (default: one inside the demo)")
    demo.add_argument("--model", default="motion", help="a model folder or a shipped model (default: motion)")
    demo.add_argument("--seconds", type=_seconds, default=60.0, help="end after this long; 0: on Ctrl-C (default: 60)")
    demo.add_argument("--screenshot", type=Path, metavar="SVG", help="write the last view as a picture")
    demo.set_defaults(command=_demo, log_level=logging.ERROR)

    run = commands.add_parser(
        "run",
        help="serve the cameras of a configuration, until SIGTERM or Ctrl-C",
        description=RUN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--config", type=Path, required=True, help="TOML file; configs/reference.toml explains every key")
    run.set_defaults(command=_run, log_level=logging.INFO)

    check = commands.add_parser(
        "check",
        help="is a configuration and its model right? prints the plan",
        description=CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("--config", type=Path, required=True, help="TOML file")
    check.set_defaults(command=_check, log_level=logging.WARNING)

    bench = commands.add_parser(
        "bench",
        help="which precision, device and threads are fastest on this host?",
        description=BENCH,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_argument("--model", default="motion", help="a model folder or a shipped model (default: motion)")
    bench.add_argument("--seconds", type=_seconds, default=60.0, help="about so long (default: 60)")
    bench.add_argument(
        "--precision", nargs="+", default=[], choices=("fp32", "fp16", "bf16", "int8"), help="(default: all it has)"
    )
    bench.add_argument("--device", nargs="+", default=[], metavar="D", help="CPU GPU NPU CUDA (default: all that work)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write what was measured, every hop of it")
    bench.set_defaults(command=_bench, log_level=logging.ERROR)

    watch = commands.add_parser("watch", help="print the events that hosts publish")
    _add_broker(watch)
    watch.add_argument("--json", action="store_true", help="one JSON document a line: topic, and message as received")
    watch.add_argument(
        "--no-replay", dest="replay", action="store_false", help="only tell what was missed, do not ask for it again"
    )
    watch.set_defaults(command=_watch, log_level=logging.WARNING)

    replay = commands.add_parser(
        "replay",
        help="what would a configuration have told of a recording?",
        description=REPLAY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("file", metavar="FILE", help="a video file; demo: for the project's own clip")
    replay.add_argument("--config", type=Path, required=True, help="TOML file")
    replay.add_argument("--camera", metavar="NAME", help="whose place it takes (default: the first)")
    replay.add_argument(
        "--at", type=_moment, default=0, metavar="TIME", help="when it begins, ISO 8601 (default: 1970-01-01T00:00:00Z)"
    )
    replay.add_argument("--json", type=Path, metavar="OUT", help="write the events there, one a line, not to stdout")
    replay.add_argument("--plot", type=Path, metavar="PNG", help="draw scores, thresholds and events over time")
    replay.set_defaults(command=_replay, log_level=logging.WARNING)

    simulate = commands.add_parser(
        "simulate",
        help="serve videos as RTSP cameras, with faults on request",
        description=SIMULATE.format(faults="\n".join(f"  {name:<27} {what}" for name, what in FAULTS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulate.add_argument("file", nargs="+", metavar="FILE", help="a video file, demo:, test: or noise:")
    simulate.add_argument(
        "--address", default="127.0.0.1", help="to listen at; 0.0.0.0: every one (default: 127.0.0.1)"
    )
    simulate.add_argument(
        "--port", type=_whole(0, 65535), default=8554, help="of the first camera; 0: free ones (default: 8554)"
    )
    simulate.add_argument("--size", type=_size, metavar="WxH", help="pixels (default: the file's)")
    simulate.add_argument("--rate", type=_whole(1, 120), help="frames a second (default: the file's)")
    simulate.add_argument("--codec", choices=("h264", "h265", "mjpeg"), default="h264", help="(default: h264)")
    simulate.add_argument("--user", default="", help="whom alone to let in; needs --password-file")
    simulate.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password")
    simulate.add_argument(
        "--fault", action="append", type=_planned, default=[], metavar="FAULT", help="planned, as above; several times"
    )
    simulate.set_defaults(command=_simulate, log_level=logging.WARNING)

    status = commands.add_parser(
        "status",
        help="how are the hosts and their cameras?",
        description=STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_broker(status)
    status.add_argument("--json", action="store_true", help="one JSON document; with --watch one a line")
    status.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
    status.set_defaults(command=_status, log_level=logging.ERROR)

    doctor = commands.add_parser(
        "doctor",
        help="tries model, broker, every camera and this machine, says what is wrong and how to mend it",
        description=DOCTOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--config", type=Path, required=True, help="TOML file")
    doctor.add_argument("--json", action="store_true", help="one JSON document: every finding")
    doctor.set_defaults(command=_doctor, log_level=logging.CRITICAL)
    return parser


def _add_broker(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--broker", default="mqtt://localhost:1883", metavar="URL", help="(default: mqtt://localhost:1883)"
    )
    command.add_argument("--base", default="edge-tdn/+", help="topics of one host, or of all (default: edge-tdn/+)")
    command.add_argument("--protocol", choices=("5", "3.1.1"), default="5", help="MQTT version (default: 5)")
    command.add_argument("--config", type=Path, help="take broker, user and topics from a configuration instead")


if __name__ == "__main__":
    sys.exit(main())
