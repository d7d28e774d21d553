"""The options of `edge-tdn-train ablation`."""

from pathlib import Path

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.options.ablation_tables import TABLES
from edge_tdn_training.options.machine_options import STOPPED, add_machine_options

VIEWS = 4  # of a drawing, backwards as well: the looks of a thing are then independent of its direction
BATCH = 32  # as for the shipped model
RESULTS, PICTURE = "ablation.json", "ablation.png"

HELP = CommandHelp(
    description="""\
Train networks with and without the parts of TDN, alike and on the same generated clips, and compare their accuracy and
time, as the paper does in its tables 1 and 5. Use it for research: to see what each part is worth, or to try a change
of the network. A model for a host comes from `finetune` or `train`.

TSN sees single frames. TSM takes part of the channels from the neighbouring segments (online: from the past only), and
T-Conv learns what it takes. S-TDM adds short-term differences to T-Conv, L-TDM long-term ones, and TDN both.

Stopped, killed, or out of power? Run the same command again to resume; at most 1000 drawings are lost. With more tables
or seeds it trains the missing networks.
""",
    examples=(
        Example(
            "TSN, TSM, T-Conv, S-TDM, L-TDM, TDN, as in tables 1c and 1d",
            "edge-tdn-train ablation --out runs/ablation",
        ),
        Example(
            "fusion of short-term differences, parts of the long-term module, and stages of both",
            "edge-tdn-train ablation --out runs/ablation --tables 1a 1b 5",
        ),
        Example(
            "from the backbone of the shipped model: T-Conv and L-TDM begin to learn sooner",
            "edge-tdn-train ablation --out runs/warm --from motion",
        ),
        Example(
            "a first look in a few minutes, and the table for a document",
            "edge-tdn-train ablation --out runs/short --tables 1d --seeds 1 --drawings 1000 --markdown",
        ),
    ),
    exit_status={0: "", 71: "", 78: "options are wrong, or the folder was created with other options"},
)


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `ablation`."""
    parser = add_command(
        commands,
        "ablation",
        run,
        summary,
        HELP,
        stopped=STOPPED,
    )
    parser.add_argument(
        "--out", type=Path, required=True, help=f"folder for the runs of all networks, {RESULTS}, {PICTURE}"
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        choices=tuple(TABLES),
        default=["1c", "1d"],
        metavar="TABLE",
        help="1a: fusion of the S-TDM; 1b: directions, scales, gates of the L-TDM; 1c: S-TDM, L-TDM, both; 1d: TSN, "
        "TSM (online and not), T-Conv, TDN; 5: stages of S-TDM and L-TDM (default: 1c 1d)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        metavar="N",
        help="train each network N times, each time with other clips and new layers; the table has mean and standard "
        "deviation (default: %(default)s)",
    )
    parser.add_argument(
        "--drawings",
        type=int,
        default=4000,
        metavar="N",
        help=f"generated clips to train on, each in {VIEWS} views: as it is, mirrored, both backwards "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        default="",
        metavar="WEIGHTS",
        help="backbone that all networks begin with: ImageNet weights, or those of a TDN (a run, a model folder, the "
        "shipped model motion), whose other layers are not used (default: random weights, ResNet-18 of half width)",
    )
    parser.add_argument("--held-out", type=int, default=1000, metavar="N", help="clips to evaluate on (default: 1000)")
    parser.add_argument("--size", type=int, default=64, help="height and width of the pictures (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_machine_options(
        parser,
        "batch norms use its statistics: keep it the same for all networks (default: the process's share of the batch "
        f"of {BATCH})",
    )
