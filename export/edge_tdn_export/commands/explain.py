"""edge-tdn-export explain: Grad-CAM and D(X) of one clip, as a PNG."""

import argparse
import sys
from pathlib import Path

from edge_tdn.capture.video_file import length_s
from edge_tdn.demo.demo_scenes import SCENES, video_path
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.manifest import MANIFEST
from edge_tdn_export.commands.network_options import (
    INPUT,
    add_input_options,
    add_network_options,
    check_no_checkpoint_options,
    input_spec,
    network_options,
)
from edge_tdn_export.commands.output import console
from edge_tdn_export.progress import ProgressDisplay
from edge_tdn_export.video_options import LABELS_HELP

LONG_S = 30.0  # of a video; a longer one takes a while to scan
HELP = CommandHelp(
    description="""\
Draw, as a PNG, where a network sees an action (Grad-CAM), and the differences that its S-TDM reads. Use it when a model
recognises something that you do not see, or does not recognise what you see.

From top to bottom: the centre frames of the segments; Grad-CAM (Selvaraju et al., 2017) over them, one row per network,
each row with its own scale; D(X), the four differences of a segment that the S-TDM reads, grey where nothing changes.
""",
    examples=(
        Example(
            "the clip of a recording with the highest score of any action",
            "edge-tdn-export explain motion garden.mp4 --out why.png",
        ),
        Example(
            "the clip around 12.5 s, explained for the label `left` instead of the model's first label",
            "edge-tdn-export explain motion garden.mp4 --at 12.5 --label left --out left.png",
        ),
        Example(
            "beside the same network trained as TSN, as in the paper's figures 3 to 6",
            "edge-tdn-export explain models/tdn garden.mp4 --baseline models/tsn --out both.png",
        ),
    ),
    exit_status={
        0: "written",
        66: "the video cannot be played",
        71: "",
        78: "model, label, moment or file is wrong (nothing is written)",
    },
)


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "explain", run, "draw where a model sees an action: Grad-CAM and D(X), as a PNG", HELP
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a model folder, the name of a shipped model, a run, or a checkpoint"
    )
    parser.add_argument(
        "clip", metavar="CLIP", help=f"a video file, a folder of numbered pictures, or {' or '.join(SCENES.values())}"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the image to write")
    parser.add_argument(
        "--at",
        type=float,
        metavar="SECONDS",
        help="the clip around this moment (default: the clip with the highest score, of --label or of any label but "
        "the background's)",
    )
    parser.add_argument("--label", help="the label to explain (default: the model's first label of the clip)")
    parser.add_argument(
        "--baseline",
        metavar="MODEL2",
        help="a second network to draw beside it, with the same labels, T, size and frame rate; a checkpoint takes "
        "them from MODEL",
    )
    described = parser.add_argument_group("if MODEL is a checkpoint")
    described.add_argument("--labels", type=Path, help=f"{LABELS_HELP} (default: labels.txt beside it)")
    add_input_options(described)
    add_network_options(parser)


def run(options: argparse.Namespace) -> int:
    from edge_tdn_export.convert.model_folder import write_at_once
    from edge_tdn_export.explain.gradcam import (
        best_clip,
        clip_at,
        explain_clip,
        explained_checkpoint,
        open_baseline,
        open_explained,
    )
    from edge_tdn_export.explain.report import check_writable, draw, table
    from edge_tdn_export.lists.labels import read_labels
    from edge_tdn_export.network import checkpoint
    from edge_tdn_export.network.source import find_source, locate

    check_writable(options.out)
    if not (locate(options.model) / MANIFEST).is_file():
        source = find_source(options.model)
        network = checkpoint.load(source.weights, note=print, **network_options(options))
        if options.labels:
            print(read_labels(options.labels).note)  # noqa: T201
        spec = input_spec(options, network.config, source.input, print)
        model = explained_checkpoint(source, network, spec, options.labels)
    else:
        check_no_checkpoint_options(options, (*network_options(options), *INPUT, "labels"), options.model)
        model = open_explained(options.model)
    baseline = [open_baseline(options.baseline, model)] if options.baseline else []
    label = model.label(options.label) if options.label is not None else None
    video = video_path(options.clip)
    length = length_s(video)
    if options.at is None and (length or 0.0) > LONG_S:
        print(  # noqa: T201
            f"{video.name}: {length:.0f} s, all of which is scanned for the clip with the highest score; "
            "--at SECONDS takes the clip around a moment",
            file=sys.stderr,
        )
    with ProgressDisplay(" s") as progress:
        step = lambda seconds: progress.report("looking for the clip", seconds, length)  # noqa: E731
        if options.at is None:
            segments = best_clip(model, video, label, step)
        else:
            segments = clip_at(video, model.spec, options.at, step)
    label, views = explain_clip(segments, [*baseline, model], label)
    write_at_once(options.out, draw(video.name, label, segments, views))
    console().print(table(label, views))
    print(f"written: {options.out}")  # noqa: T201
    return 0
