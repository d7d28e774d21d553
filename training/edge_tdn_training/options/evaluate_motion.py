"""The options of `edge-tdn-train evaluate-motion`."""

from pathlib import Path

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.evaluation.clip_sheet import MAX_WRONG_CLIPS

HELP = CommandHelp(
    description="""\
Measure how well a model recognises motions, in generated clips that it was not trained on, and in windows that move
over real videos. Use it for the model `motion` and for variants of it; for your own actions use `evaluate`.
""",
    examples=(
        Example("the shipped model, on 500 generated clips", "edge-tdn-train evaluate-motion motion"),
        Example(
            "the same, and on windows that move over your own videos",
            "edge-tdn-train evaluate-motion motion --generated 500 --crops videos/",
        ),
        Example(
            "the clips that it gets wrong, as a picture with a row for each",
            "edge-tdn-train evaluate-motion motion --crops videos/ --wrong wrong.png",
        ),
    ),
    exit_status={0: "measured", 66: "", 71: "", 78: "model, videos or options are wrong"},
)


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `evaluate-motion`."""
    parser = add_command(commands, "evaluate-motion", run, summary, HELP)
    parser.add_argument("model", help="a model folder, or the name of a shipped model")
    parser.add_argument(
        "--generated", type=int, default=500, metavar="N", help="number of held-out clips (default: 500; 0: none)"
    )
    parser.add_argument(
        "--crops", type=Path, metavar="DIR", help="folder of real videos, over which windows move (default: none)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the windows (default: 1)")
    parser.add_argument("--precision", default="fp32", help="precision of the folder to evaluate (default: fp32)")
    parser.add_argument(
        "--wrong",
        type=Path,
        metavar="PNG",
        help=f"draw the misclassified clips, at most {MAX_WRONG_CLIPS} of each kind",
    )
