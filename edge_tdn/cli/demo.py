"""`edge-tdn demo`: camera, model, broker and subscriber in one process, to see what edge-tdn does."""

import argparse
import logging
from pathlib import Path

from edge_tdn.cli.options import Commands, add_command, seconds, whole_number
from edge_tdn.demo.demo_scenes import DEMO, DRAWN, SCENES
from edge_tdn.errors import ConfigError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.spelling import nearest

HELP = CommandHelp(
    description="""\
Recognise actions in a scene of the project's own, or in a camera of yours, and show them as they happen. Use it to see
what edge-tdn does before you configure anything: the demo brings its own broker and model, and leaves nothing behind
but a cache of some 25 MB, ~/.cache/edge-tdn.

The model that comes with the package knows directions of movement. Your own actions, see `edge-tdn docs teach`.
""",
    examples=(
        Example("see it work; needs no camera, broker or model", "edge-tdn demo"),
        Example("recorded people, whose hands rise and fall", "edge-tdn demo --scene people"),
        Example("the same, and their faces and hands as zones", "edge-tdn demo --scene people --zones"),
        Example("a camera at this machine", "edge-tdn demo --source /dev/video0"),
        Example("with the page for a browser: pictures, scores, events", "edge-tdn demo --web"),
        Example(
            "publish to your broker until Ctrl-C; `edge-tdn watch` in another terminal shows what arrives",
            "edge-tdn demo --broker mqtt://broker.lan --seconds 0",
        ),
    ),
    exit_status={0: "shown", 66: "the source has no picture", 69: "", 78: ""},
)

FIRST_PORT = 8765  # of the page


def add_parser(commands: Commands) -> None:
    summary = "recognise actions in a sample clip, or in your camera"
    parser = add_command(commands, "demo", run, logging.ERROR, summary, HELP)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--scene",
        dest="source",
        type=_scene,
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"{' or '.join(SCENES)} (default: {DRAWN})",
    )
    shown.add_argument(
        "--source", default=DEMO, help="your camera or recording: a file, rtsp://, http(s)://, /dev/video*, gst:"
    )
    parser.add_argument(
        "--zones",
        action="store_true",
        help="also analyse two parts of the picture by themselves: face and hands of the people, otherwise its halves",
    )
    parser.add_argument(
        "--broker", default="", metavar="URL", help="mqtt://HOST[:PORT] (default: a broker inside the demo)"
    )
    parser.add_argument("--model", default="motion", help="a model folder or a shipped model (default: motion)")
    parser.add_argument(
        "--web", action="store_true", help="serve the page, too: open the printed link in a browser on this machine"
    )
    parser.add_argument(
        "--port", type=whole_number(1, 65_535), help=f"of the page (default: the first that is free from {FIRST_PORT})"
    )
    parser.add_argument(
        "--seconds", type=seconds, help="duration of the demo, seconds; 0: until Ctrl-C (default: 60; with --web: 0)"
    )
    parser.add_argument("--screenshot", type=Path, metavar="SVG", help="save the last view as a picture")


def run(options: argparse.Namespace) -> int:
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.demo_page import free_port
    from edge_tdn.cli.demo_session import demo
    from edge_tdn.output import check_output_file

    if options.screenshot:
        if options.screenshot.suffix.lower() != ".svg":
            raise ConfigError(f"--screenshot {options.screenshot}: is an SVG picture: {options.screenshot.stem}.svg")
        check_output_file(options.screenshot)
    web_port = 0
    if options.web:
        web_port = options.port or free_port(FIRST_PORT)
    elif options.port:
        raise ConfigError(f"--port {options.port}: is that of the page; add --web")
    length_s = options.seconds if options.seconds is not None else 0.0 if options.web else 60.0
    demo(
        plain_console(),
        options.source,
        options.broker,
        options.model,
        length_s,
        options.screenshot,
        web_port,
        zones=options.zones,
    )
    return 0


def _scene(name: str) -> str:
    """Return the address of a scene."""
    if name not in SCENES:
        raise argparse.ArgumentTypeError(f"unknown scene {name!r}; {nearest(name, SCENES)}")
    return SCENES[name]
