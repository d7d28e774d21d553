"""The options of `edge-tdn-train motion`."""

from pathlib import Path

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.options.machine_options import STOPPED, add_machine_options
from edge_tdn_training.synthetic.clips import SEEDS
from edge_tdn_training.training_config import REFERENCE_BATCH

HELD_OUT_CLIPS = 500  # that are evaluated after each epoch

HELP = CommandHelp(
    description="""\
Train the model `motion`, which comes with the package, again: on generated clips of moving things, in one go from
nothing to a model folder with INT8, compared with PyTorch and evaluated. Use it to reproduce the shipped model, or to
make a variant of it; an hour on 2 cores. Your own actions are taught with `finetune`, not with this command.

Stopped, killed, or out of power? Run the same command again to resume; at most 4000 drawings are lost.
""",
    examples=(
        Example(
            "the shipped model with its own settings; the result is runs/motion/model",
            "edge-tdn-train motion --out runs/motion",
        ),
        Example(
            "with pictures of your own videos as backgrounds",
            "edge-tdn-train motion --out runs/mine --backdrops videos/",
        ),
        Example(
            "continue from the shipped model, with more clips",
            "edge-tdn-train motion --out runs/longer --from motion --drawings 80000",
        ),
    ),
    exit_status={
        0: "trained, exported and evaluated",
        71: "",
        78: "options are wrong, or the folder is of another run",
    },
)


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `motion`."""
    parser = add_command(
        commands,
        "motion",
        run,
        summary,
        HELP,
        stopped=STOPPED,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    parser.add_argument(
        "--drawings",
        type=int,
        default=40_000,
        metavar="N",
        help="number of generated clips to train on (default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=(1, 2, 4),
        default=2,
        help="clips made of a drawing; 1: as it is; 2: also mirrored; 4: both also backwards (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=1000,
        metavar="N",
        help=f"drawings to evaluate on, the first {HELD_OUT_CLIPS} of them after every epoch (default: %(default)s)",
    )
    parser.add_argument(
        "--backdrops",
        type=Path,
        metavar="DIR",
        help="videos whose pictures become backgrounds of half of the drawings (default: none)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        default="",
        metavar="MODEL",
        help="initial weights, of the same network: a model folder or shipped model, a run, a file (default: random)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=32,
        metavar="N",
        help="clips per step, of all processes together (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=0.4,
        help=f"highest learning rate for {REFERENCE_BATCH} clips per step; scaled with --batch (default: %(default)s, "
        "which is 0.1 for 32)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help=f"0 to {SEEDS - 1}: seed of weights and drawings (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("bf16", "fp32"),
        help="precision of the training (default: bf16, mixed, where it is fast)",
    )
    add_machine_options(parser, "batch norms use its statistics (default: the process's share of --batch)")
