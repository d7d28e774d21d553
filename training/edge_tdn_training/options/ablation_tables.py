"""The networks of the paper's tables 1a to 1d and 5, and its figures for them.

The figures are those of the ICLR submission of 2021: Something-Something V1, ResNet-50, T = 8, one clip and centre
crop. The version of CVPR 2021 states 52.3 % for TDN. Networks without `paper` have no row in its tables.

TSM shifts where T-Conv convolves, so that both differ only in whether the layer learns; as published it shifts before
the first convolution of every block. T-Conv stays in res3 to res5 also where table 5 moves the L-TDM to other stages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

FULL = "TDN"
PAPER = "ICLR 2021 submission, Something-Something V1, ResNet-50, T = 8, one clip"  # source of the paper's figures
PAPER_NOTE = (
    "T-Conv is quoted from table 1d; tables 1c and 5 have 45.2. TDN and TDN added are both the paper's F + H: its "
    "equation 1 adds the differences, the published code averages. The version of CVPR 2021 has 52.3 for TDN. The "
    "paper's GFLOP counts a multiplication with its addition as one operation, as GMAC does"
)


@dataclass(frozen=True)
class PaperFigures:
    """A row of the paper's tables, under the conditions of PAPER; None: not stated."""

    top1: float  # per cent
    top5: float | None = None  # per cent
    gflop: int | None = None  # of a clip; it counts a multiply-accumulate as one operation, as our GMAC


@dataclass(frozen=True)
class Variant:
    """A network of the paper's tables, by its differences from TDN as published."""

    name: str
    network: dict[str, Any] = field(default_factory=dict)  # options of TDNConfig
    paper: PaperFigures | None = None

    @property
    def folder(self) -> str:
        return self.name.lower().replace(" ", "-")


TSN = Variant(
    "TSN", {"stdm_stages": (), "ltdm_stages": (), "temporal_conv_stages": ()}, PaperFigures(19.7, top5=46.5, gflop=33)
)
TSM = Variant(
    "TSM", {"stdm_stages": (), "ltdm_stages": (), "temporal": "shift"}, PaperFigures(45.6, top5=74.2, gflop=33)
)
TSM_ONLINE = Variant("TSM online", {"stdm_stages": (), "ltdm_stages": (), "temporal": "online_shift"})
T_CONV = Variant("T-Conv", {"stdm_stages": (), "ltdm_stages": ()}, PaperFigures(46.2, top5=75.1, gflop=33))
S_TDM = Variant("S-TDM", {"ltdm_stages": ()}, PaperFigures(49.5))
L_TDM = Variant("L-TDM", {"stdm_stages": ()}, PaperFigures(48.9))
FULL_TDN = Variant(FULL, paper=PaperFigures(51.3, top5=79.3, gflop=36))
TABLES = {
    "1a": (
        FULL_TDN,
        Variant("TDN added", {"stdm_fusion": "add"}, PaperFigures(51.3, top5=79.3, gflop=36)),  # F + H
        Variant("TDN attended", {"stdm_fusion": "attention"}, PaperFigures(47.6)),  # F + F * H
    ),
    "1b": (
        FULL_TDN,
        Variant("TDN one way", {"ltdm_bidirectional": False}, PaperFigures(50.0)),
        Variant("TDN one scale", {"ltdm_multiscale": False}, PaperFigures(49.7)),
        Variant("TDN no gates", {"ltdm_attention": False}, PaperFigures(44.1)),  # F + G
    ),
    "1c": (T_CONV, S_TDM, L_TDM, FULL_TDN),
    "1d": (TSN, TSM_ONLINE, TSM, T_CONV, FULL_TDN),
    "5": (
        T_CONV,
        Variant("TDN S1 L2-5", {"stdm_stages": (1,), "ltdm_stages": (2, 3, 4, 5)}, PaperFigures(49.9, gflop=35)),
        FULL_TDN,
        Variant("TDN S1-3 L4-5", {"stdm_stages": (1, 2, 3), "ltdm_stages": (4, 5)}, PaperFigures(50.8, gflop=38)),
    ),
}
ORDER = (TSN, TSM_ONLINE, TSM, T_CONV, S_TDM, L_TDM, FULL_TDN)  # then the variants of TDN


def chosen(tables: Sequence[str]) -> list[Variant]:
    """Return the networks of these tables, each once, the smallest first."""
    every = [variant for name in sorted(TABLES) if name in tables for variant in TABLES[name]]
    listed = [variant for variant in ORDER if variant in every]
    return listed + [variant for variant in every if variant not in listed]
