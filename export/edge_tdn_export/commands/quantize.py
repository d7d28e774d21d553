"""edge-tdn-export quantize: add INT8 to a model folder."""

import argparse
from pathlib import Path

from edge_tdn.errors import ModelError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.inference.self_test import SELF_TEST_LIMIT
from edge_tdn.manifest import MANIFEST, shipped_models
from edge_tdn.shell import command
from edge_tdn.verdict import MIN_CLIPS, MIN_RECORDINGS, rounded_up
from edge_tdn_export.commands.output import add_allow_few_clips, console, exit_status
from edge_tdn_export.progress import ProgressDisplay
from edge_tdn_export.quantize.clip_split import DEFAULT_SAMPLES
from edge_tdn_export.video_options import add_video_options, reading

LARGE_GOLDEN_ERROR = 0.1  # of the largest logit; a larger one is a warning
HELP = CommandHelp(
    description=f"""\
Add the precision int8 to a model folder: calibrated on half of your clips, measured on the other half, and kept within
limits on its accuracy. Use it for a model that is too slow on its host; `edge-tdn bench` shows the gain.

Some operators may have to stay in floating point to keep the limits. The command measures which ones, and keeps as few
as possible; int8/quantize.json lists them, with the gain of each. A verdict needs {MIN_CLIPS} clips of {MIN_RECORDINGS}
recordings, as six videos and the default of --samples give.

ResNet-50 takes 10 to 20 minutes on two cores, most of them for the trial of single operators.
""",
    examples=(
        Example("calibrate on your videos", "edge-tdn-export quantize models/ssv2 --clips videos/"),
        Example(
            "the same in less time, without a trial of single operators",
            "edge-tdn-export quantize models/ssv2 --clips videos/ --quick",
        ),
        Example(
            "with looser limits, in place of the folder's int8",
            "edge-tdn-export quantize models/ssv2 --clips videos/ --limit top1=0.98 --limit kl=0.02 --replace",
        ),
    ),
    exit_status={
        0: "written, within limits",
        1: "written, but too few clips",
        66: "",
        71: "",
        78: "model, videos or limits are wrong, or the limits cannot be kept (nothing is written)",
    },
)


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "quantize", run, "add INT8 to a model folder, calibrated on your videos", HELP)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder with precision fp32")
    parser.add_argument(
        "--clips",
        type=Path,
        required=True,
        metavar="PATH",
        help="videos like those of the cameras, preferably at least six: a folder, or a list of videos",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="top1: agreement with FP32, 0 to 1 (default: 0.99); kl: mean Kullback-Leibler divergence from FP32, nats "
        "(default: 0.01)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=DEFAULT_SAMPLES,
        metavar="N",
        help="number of clips, for calibration and measurement together (default: %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="do not try single operators if everything in INT8 keeps the limits"
    )
    parser.add_argument("--replace", action="store_true", help="replace the folder's int8")
    add_video_options(parser)
    add_allow_few_clips(parser)


def run(options: argparse.Namespace) -> int:
    from edge_tdn_export.quantize.quantize import parse_limits, quantize
    from edge_tdn_export.quantize.report import table

    limits = parse_limits(options.limit)
    shipped = shipped_models() / options.model
    if not options.model.exists() and (shipped / MANIFEST).is_file():
        copy = command("cp", "-r", shipped, options.model)
        raise ModelError(f"{options.model}: is a shipped model, which stays as it is; copy it first: {copy}")
    with ProgressDisplay() as progress:
        report = quantize(
            options.model,
            options.clips,
            limits,
            options.samples,
            options.replace,
            options.quick,
            progress.report,
            reading(options),
        )
    console().print(table(report))
    print(golden_line(options.model, report.golden_error))  # noqa: T201
    print(parity_line(options))  # noqa: T201
    return exit_status([report.claim], options.allow_few_clips)


def golden_line(model: Path, error: float) -> str:
    """Return the line on the golden clip's error, beside the largest one with which a host serves this folder."""
    warning = "warning: " if error > LARGE_GOLDEN_ERROR else ""
    share = f"{rounded_up(100 * error)} % of the largest logit on the golden clip"
    allowed = f"{100 * max(SELF_TEST_LIMIT['int8'], 2 * error):.2g} %"
    return f"{warning}{model}: int8 is off by {share}; a host that is off by more than {allowed} does not serve it"


def parity_line(options: argparse.Namespace) -> str:
    """Return the line with the command that records a verdict for hosts."""
    reading = (("--videos-in", "videos_in"), ("--picture-names", "picture_names"), ("--picture-rate", "picture_rate"))
    given = [(name, str(value)) for name, key in reading if (value := getattr(options, key)) is not None]
    more = [part for pair in given for part in pair]
    words = ("parity", options.model, "--clips", options.clips, "--precision", "int8", *more)
    return (
        "This verdict is on logits, against the folder's fp32. Hosts read one of a comparison with PyTorch, with "
        f"events, which is not recorded yet: {command('edge-tdn-export', *words)}"
    )
