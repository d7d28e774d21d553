"""edge-tdn-export convert: checkpoint -> model folder."""

import argparse
from pathlib import Path

from edge_tdn.errors import ModelError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn_export.commands.network_options import add_input_options, add_network_options
from edge_tdn_export.commands.output import print_golden_errors
from edge_tdn_export.convert.precisions import DEFAULT_PRECISIONS, PRECISIONS
from edge_tdn_export.progress import stepped
from edge_tdn_export.video_options import LABELS_HELP

HELP = CommandHelp(
    description="""\
Convert PyTorch weights of a TDN to a model folder, which `edge-tdn run` serves without PyTorch, and test it on a golden
clip. Use it for a published checkpoint or for one that you have trained elsewhere. Afterwards `parity` compares the
folder with PyTorch on your own videos, in every precision.
""",
    examples=(
        Example(
            "a published Something-Something model of 8 segments",
            "edge-tdn-export convert best.pth.tar models/ssv2 --segments 8 --labels something-something-v2-labels.json",
        ),
        Example(
            "a Kinetics model whose videos had 30 frames per second",
            "edge-tdn-export convert best.pth.tar models/k400 --segments 8 --labels label_map_k400.txt "
            "--frame-rate 30 --segment-stride 8",
        ),
        Example(
            "a training of edge-tdn-train, which states labels, network and preprocessing",
            "edge-tdn-export convert runs/mine models/mine",
        ),
    ),
    exit_status={0: "written", 71: "", 78: "checkpoint, labels or sizes are wrong (nothing is written)"},
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "convert", run, "convert a checkpoint to a model folder", HELP)
    parser.add_argument(
        "checkpoint",
        help="a published .pth.tar, a bare state_dict, .safetensors, or the folder of a training or a model",
    )
    parser.add_argument("out", type=Path, help="folder to create; must not exist")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=DEFAULT_PRECISIONS,
        metavar="P",
        help=f"precisions to write, of {', '.join(PRECISIONS)} (default: {' '.join(DEFAULT_PRECISIONS)}; "
        "int8: see quantize)",
    )
    add_network_options(parser)
    parser.add_argument("--labels", type=Path, help=f"{LABELS_HELP} (default: labels.txt beside the checkpoint)")
    parser.add_argument(
        "--background",
        nargs="*",
        action="extend",
        metavar="LABEL",
        help="labels that never start an action (default: those of a model folder, else `background` if it is a label)",
    )
    parser.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    add_input_options(parser)


def run(options: argparse.Namespace) -> int:
    from edge_tdn_export.commands.convert_plan import make_plan
    from edge_tdn_export.convert.convert import InexactExport, convert, steps

    network, recipe = make_plan(options, print)
    try:
        with stepped(steps(recipe.precisions)) as step:
            manifest = convert(network, recipe, options.out, step)
    except InexactExport as error:
        others = [name for name in recipe.precisions if name not in error.precisions]
        advice = f"; to leave it out: --precisions {' '.join(others)}" if others else ""
        raise ModelError(f"{error}; nothing written{advice}") from error
    print_golden_errors(options.out, manifest)
    return 0
