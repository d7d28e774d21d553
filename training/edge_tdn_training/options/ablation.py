"""The options of `edge-tdn-train ablation`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.options.machine_options import add_machine_options

VIEWS = 4  # of a drawing, backwards as well: the looks of a thing are then independent of its direction
BATCH = 32  # as for the shipped model
FULL = "TDN"  # the name of the network that all others are compared with
RESULTS, PICTURE = "ablation.json", "ablation.png"

HELP = CommandHelp(
    description="""\
Train networks with and without the parts of TDN, alike and on the same generated clips, and compare their accuracy and
time, as the paper does in its table 1. Use it for research: to see what each part is worth, or to try a change of the
network. A model for a host comes from `finetune` or `train`.

Stopped, killed, or out of power? Run the same command again to resume; at most 1000 drawings are lost. With more tables
or seeds it trains the missing networks.
""",
    examples=(
        Example(
            "TSN, T-Conv, S-TDM, L-TDM, TDN, as in tables 1c and 1d (half an hour on 2 cores)",
            "edge-tdn-train ablation --out runs/ablation",
        ),
        Example(
            "fusion of short-term differences, and parts of the long-term module, with three seeds",
            "edge-tdn-train ablation --out runs/ablation --tables 1a 1b --seeds 3",
        ),
        Example(
            "a first look in a few minutes, and the table for a document",
            "edge-tdn-train ablation --out runs/short --tables 1d --drawings 1000 --markdown",
        ),
    ),
    exit_status={0: "", 71: "", 78: "options are wrong, or the folder was created with other options"},
)


@dataclass(frozen=True)
class Variant:
    """A row of the paper's tables, by its differences from TDN as published."""

    name: str
    network: dict[str, Any] = field(default_factory=dict)  # options of TDNConfig
    paper: float | None = None  # top-1 on Something-Something V1 in per cent: ResNet-50, T = 8, one clip

    @property
    def folder(self) -> str:
        return self.name.lower().replace(" ", "-")


TSN = Variant("TSN", {"stdm_stages": (), "ltdm_stages": (), "temporal_conv_stages": ()})
T_CONV = Variant("T-Conv", {"stdm_stages": (), "ltdm_stages": ()})
S_TDM = Variant("S-TDM", {"ltdm_stages": ()})
L_TDM = Variant("L-TDM", {"stdm_stages": ()})
FULL_TDN = Variant(FULL, paper=52.3)
TABLES = {
    "1a": (
        FULL_TDN,
        Variant("TDN added", {"stdm_fusion": "add"}),
        Variant("TDN attended", {"stdm_fusion": "attention"}),
    ),
    "1b": (
        FULL_TDN,
        Variant("TDN one way", {"ltdm_bidirectional": False}),
        Variant("TDN one scale", {"ltdm_multiscale": False}),
        Variant("TDN no gates", {"ltdm_attention": False}),
    ),
    "1c": (T_CONV, S_TDM, L_TDM, FULL_TDN),
    "1d": (TSN, T_CONV, FULL_TDN),
}
ORDER = (TSN, T_CONV, S_TDM, L_TDM, FULL_TDN)  # then the variants of TDN


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `ablation`."""
    parser = add_command(
        commands,
        "ablation",
        run,
        summary,
        HELP,
        stopped="stopped; run the same command again to resume after the last whole epoch",
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
        "T-Conv, TDN (default: 1c 1d)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="train each network N times, each time with different initial weights and clips (default: 1)",
    )
    parser.add_argument(
        "--drawings",
        type=int,
        default=4000,
        metavar="N",
        help=f"generated clips to train on, each in {VIEWS} views: as it is, mirrored, both backwards "
        "(default: %(default)s)",
    )
    parser.add_argument("--held-out", type=int, default=1000, metavar="N", help="clips to evaluate on (default: 1000)")
    parser.add_argument("--size", type=int, default=64, help="height and width of the pictures (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_machine_options(
        parser,
        "batch norms use its statistics: keep it the same for all networks (default: the process's share of the batch "
        f"of {BATCH})",
    )
