"""`edge-tdn replay`: run a recording through a configuration and print its events."""

import argparse
import logging
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from edge_tdn.cli.options import Commands, add_command, add_config
from edge_tdn.errors import SourceError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.output import check_output_file, check_picture_name, write_output

HELP = CommandHelp(
    description="""\
Run a recording through the model and [decide] of a configuration, in place of one of its cameras and faster than real
time, and print the events as JSON lines. Use it to choose thresholds: the same recording gives the same events every
time, so change one, replay, and compare. No broker is needed.

Of the camera's table, hop, max_gap_s, motion_gate, decoder, rotate, region and its zones apply: each zone has its own
model, limits and events, as in the daemon. The summary (length, speed, actions) is printed to stderr.
""",
    examples=(
        Example("a recording as the first camera of a configuration", "edge-tdn replay yard.mp4 --config site.toml"),
        Example(
            "as another camera, with the time at which it was recorded",
            "edge-tdn replay yard.mp4 --camera yard --at 2026-03-01T22:00:00Z",
        ),
        Example("one zone of a camera", "edge-tdn replay yard.mp4 --camera yard --zone gate"),
        Example(
            "keep the events, to compare them after a change",
            "edge-tdn replay yard.mp4 --json after.jsonl && diff before.jsonl after.jsonl",
        ),
        Example("draw scores, thresholds and events of the sample clip", "edge-tdn replay demo: --plot demo.png"),
    ),
    exit_status={0: "replayed, whether or not there was an action", 66: "", 71: "", 78: ""},
)
NS_PER_MS = 1_000_000


def add_parser(commands: Commands) -> None:
    summary = "run a recording through a configuration and print its events"
    parser = add_command(commands, "replay", run, logging.WARNING, summary, HELP)
    parser.add_argument("file", metavar="FILE", help="a video file; demo: or demo:people for the project's own")
    add_config(parser)
    parser.add_argument("--camera", metavar="NAME", help="camera that the recording replaces (default: the first)")
    parser.add_argument("--zone", metavar="NAME", help="one zone of that camera (default: all of them)")
    parser.add_argument(
        "--at",
        type=_moment,
        default=0,
        metavar="TIME",
        help="time of its first picture, ISO 8601 (default: 1970-01-01T00:00:00Z)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="write the events to a file, one per line, instead of stdout"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="PNG", help="draw pictures, scores, thresholds and events, zone by zone"
    )


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError or ModelError like `edge-tdn run`, and SourceError if the file cannot be played."""
    from edge_tdn.capture.address import is_live, locate
    from edge_tdn.capture.video_file import read_file
    from edge_tdn.chosen_models import ChosenModels
    from edge_tdn.cli.console import plain_console
    from edge_tdn.config.load import load
    from edge_tdn.config.resolved_zones import resolved_zones, zone_named
    from edge_tdn.demo.demo_scenes import video_path
    from edge_tdn.messages import ActionEvent
    from edge_tdn.networks import NetworkOpener, warn_of_doubts
    from edge_tdn.process.passwords import without_password
    from edge_tdn.replay.plot import plot, require_matplotlib
    from edge_tdn.replay.replay_chain import ReplayChain, choose_camera, with_progress
    from edge_tdn.replay.replay_zone import ReplayNetwork
    from edge_tdn.replay.thumbnails import Thumbnails

    _check_outputs(options.json, options.plot)
    if options.plot:
        require_matplotlib()
    console = plain_console(stderr=True, soft_wrap=True)
    config = load(options.config)
    camera = choose_camera(console, config, options.config, options.camera)
    zones = resolved_zones(config, camera)
    if options.zone:
        zones = (zone_named(config, camera, options.zone, options.config),)
    video = video_path(options.file)
    if is_live(options.file) or is_live(locate(str(video.resolve()), Path())):
        raise SourceError(f"{without_password(options.file)}: not a recording; name a video file")
    base, choices = options.config.parent, [zone.choice for zone in zones]
    with NetworkOpener(base, cached=False).opened(config, ChosenModels.of(config, base), choices) as opened:
        warn_of_doubts(opened.all)
        networks = {choice: ReplayNetwork(opened.of(choice).model, opened.of(choice).runtime) for choice in choices}
        chain, thumbnails = ReplayChain(config, camera, networks, zones, options.at), Thumbnails()
        began, events = time.monotonic(), list[ActionEvent]()
        frames = read_file(video, camera.decoder, camera.rotate, camera.region)
        if options.plot:
            frames = thumbnails.watch(frames)
        for event in chain.play(with_progress(console, frames, video, camera)):
            events.append(event)
            if not options.json:
                print(event.json_bytes().decode(), flush=True)  # noqa: T201  (for pipes)
        took_s = time.monotonic() - began
    if not chain.seconds:
        raise SourceError(f"{video}: a single picture, not a recording; name a video file")
    if options.json:
        write_output(options.json, b"".join(event.json_bytes() + b"\n" for event in events))
    if options.plot:
        models = ", ".join(dict.fromkeys(zone.model.manifest.id for zone in chain.zones))
        title = f"{video.name} as camera {camera.name}, model {models}"
        scores = [zone.scores for zone in chain.zones]
        write_output(options.plot, plot(title, scores, events, options.at, thumbnails.spread()))
    for zone in chain.zones:
        if reason := zone.why_no_clip:
            console.print(f"{zone.line_prefix}{reason}")
    console.print(f"{chain.seconds:.1f} s of video in {took_s:.1f} s: {chain.seconds / took_s:.1f} times real time")
    for zone in chain.zones:
        starts = Counter(event.label for event in events if event.type == "start" and event.zone == zone.zone.name)
        console.print(f"{zone.line_prefix}actions recognised: {_counted(starts, chain.seconds)}")
    return 0


def _counted(starts: Counter[str], seconds: float) -> str:
    if not starts:
        return "none"
    counts = ", ".join(f"{label} {count}" for label, count in starts.items())
    return f"{counts} ({starts.total() * 60 / seconds:.1f} starts a minute)"


def _moment(text: str) -> int:
    """Parse ISO 8601, in UTC unless it has an offset, to nanoseconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if not 1970 <= moment.year < 9999:
        raise argparse.ArgumentTypeError(f"{text}: a time from 1970 on, such as 2026-03-01T12:00:00Z")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000) * NS_PER_MS


def _check_outputs(events: Path | None, picture: Path | None) -> None:
    for out in (events, picture):
        if out:
            check_output_file(out)
    if picture:
        check_picture_name(picture, "--plot")
