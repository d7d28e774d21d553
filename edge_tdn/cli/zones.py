"""`edge-tdn zones`: draw a grid and the configured zones over a picture of a camera, to choose zones by."""

import argparse
import logging
from pathlib import Path

from edge_tdn.cli.options import SITE, Commands, add_camera_config, add_command
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.output import check_output_file, check_picture_name, write_output

HELP = CommandHelp(
    description="""\
Take one picture of a camera or video, and draw a grid over it from which the shares of a zone can be read: every line
is a tenth of the width or height. The zones that the camera has in a configuration are drawn, too, each with its name,
its size in pixels, and what is wrong if it is too small. The lines of a zone to start from are printed.

A camera of a configuration is shown as its zones see it: after its own rotation and region. Nothing is changed.
""",
    examples=(
        Example("a camera", "edge-tdn zones rtsp://192.168.1.20/stream --out zones.png"),
        Example(
            "a camera of a configuration, with its zones", "edge-tdn zones yard --config site.toml --out zones.png"
        ),
        Example(
            "its zones over a recording of it, while the camera is away",
            "edge-tdn zones yard.mp4 --config site.toml --camera yard --out zones.png",
        ),
    ),
    exit_status={
        0: "drawn, also where a zone is too small",
        1: "the picture cannot be written, for example because the disk is full",
        66: "the source cannot be played, or sends no picture",
        78: "",
    },
    files={str(SITE): "the configuration of the camera, where SOURCE is its name and --config names no other"},
)


def add_parser(commands: Commands) -> None:
    summary = "draw a grid and the zones of a camera over its picture"
    parser = add_command(commands, "zones", run, logging.ERROR, summary, HELP)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="rtsp://, http(s)://, /dev/video*, file, gst: PIPELINE; or with --config a camera's name",
    )
    add_camera_config(parser)
    parser.add_argument(
        "--camera", metavar="NAME", help="camera of the configuration whose zones are drawn, in place of SOURCE's own"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="file to write")


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError if there is no such camera, and SourceError if it sends no picture."""
    import numpy as np

    from edge_tdn.capture.address import is_live
    from edge_tdn.capture.one_picture import one_picture
    from edge_tdn.cli.chosen_camera import chosen_camera
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.zone_picture import DrawnZone, draw_zones
    from edge_tdn.demo.demo_clip import demo_clip
    from edge_tdn.demo.demo_scenes import DEMO
    from edge_tdn.media.outline import Outline
    from edge_tdn.process.passwords import without_password

    check_output_file(options.out)
    check_picture_name(options.out, "--out")
    console = plain_console(stderr=True, soft_wrap=True)
    if options.camera:
        camera = chosen_camera(options.camera, options.config, "--camera ").playing(options.source)
    else:
        camera = chosen_camera(options.source, options.config)
    shown = without_password(camera.table.source)
    if camera.table.source == DEMO:
        demo_clip()
    live = is_live(camera.table.source)
    if live and not console.is_terminal:
        console.print(f"connecting to {shown}")
    with console.status(f"connecting to {shown}" if live else f"reading {shown}"):
        taken = one_picture(camera.table, camera.base)
    pixels = np.empty((*taken.size, 4), np.uint8)
    taken.rgbx(pixels)
    zones = [DrawnZone(str(one.name), Outline.of(one), taken.size) for one in camera.zones]
    write_output(options.out, draw_zones(pixels[..., :3], zones))
    height, width = taken.size
    console.print(f"{options.out}: the picture of {width}x{height}, with a line at every tenth of width and height")
    for zone in zones:
        console.print(f"zone {zone.name}: {zone.trouble or f'{zone.pixels} pixels'}")
    name = next(name for n in range(1, 1000) if (name := f"zone-{n}") not in {zone.name for zone in zones})
    console.print("a zone to start from; put it into the configuration, below the [[camera]] that it belongs to:")
    print(START.format(name=name), end="")  # noqa: T201  (for pipes)
    return 0


START = """\
[[camera.zone]]
name = "{name}"
region = [0.25, 0.25, 0.5, 0.5]    # left, top, width and height, as shares of the picture
# or, in place of region, the corners of a polygon, as [x, y]:
# polygon = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]
"""
