"""edge-tdn-export ensemble: several model folders -> one."""

import argparse
from pathlib import Path

from edge_tdn.errors import ModelError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.manifest import find_model
from edge_tdn_export.commands.output import print_golden_errors
from edge_tdn_export.progress import stepped

HELP = CommandHelp(
    description="""\
Join model folders into one, whose networks read the same stream and whose logits are added. Use it for the published
ensemble of 8 and 16 segments: it is more accurate than either, and costs as much as both. The folder serves like any
other: set it as `model` in the configuration of edge-tdn.

Both networks read every stream, in the third example the first a segment every 6 frames and the second one every 3, so
that their clips span the same time.
""",
    examples=(
        Example(
            "first convert a network of 8 segments",
            "edge-tdn-export convert tdn8.pth.tar models/ssv2-8 --segments 8 --labels labels.txt",
        ),
        Example(
            "then one of 16 segments",
            "edge-tdn-export convert tdn16.pth.tar models/ssv2-16 --segments 16 --labels labels.txt",
        ),
        Example(
            "join them: the published ensemble, of 8 and of 16 segments of the same 52 frames",
            "edge-tdn-export ensemble models/ssv2-8 models/ssv2-16 models/ssv2-8-16 --segment-stride 6",
        ),
    ),
    exit_status={0: "written, and run on the golden clip", 71: "", 78: "the folders do not match (nothing is written)"},
)


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "ensemble", run, "join model folders into one, whose networks' logits are added", HELP
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="at least two folders of one network each, or names of shipped models, with the same labels, size and "
        "frame rate",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to create; must not exist")
    parser.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    parser.add_argument(
        "--segment-stride",
        type=int,
        default=0,
        metavar="N",
        help="frames from one segment to the next, of the network with the fewest segments; that of the others "
        "follows: half for twice the segments (default: the folders' own, if their clips span the same time)",
    )


def run(options: argparse.Namespace) -> int:
    from edge_tdn_export.convert.convert import InexactExport
    from edge_tdn_export.convert.ensemble import ensemble, steps

    name = options.id or options.out.name
    folders = [find_model(model, Path.cwd()) for model in options.models]
    try:
        with stepped(steps(folders)) as step:
            manifest = ensemble(folders, options.out, id=name, segment_stride=options.segment_stride, step=step)
    except InexactExport as error:
        advice = "an ensemble has the precisions that all its folders have: convert one of them without it"
        raise ModelError(f"{error}; nothing written; {advice}") from error
    print_golden_errors(options.out, manifest)
    return 0
