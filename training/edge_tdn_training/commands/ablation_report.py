"""The results of an ablation as table, JSON and picture: mean and standard deviation over the seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from edge_tdn.replay.plot import png
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.motion_clips import SIDEWAYS
from edge_tdn_training.evaluation.report import accuracy_json
from edge_tdn_training.options.ablation_tables import FULL, PAPER, PAPER_NOTE, PaperFigures

COLUMNS = ("network", "top-1\n%", f"{FULL}\nleads by", "left or\nright, %", "M\nparam.", "GMAC\na clip", "ms\na clip")
PAPER_COLUMNS = ("paper\ntop-1, %", "paper\ntop-5, %", "paper\nGFLOP")
PLATEAU = 0.05  # a network at most this much better than always predicting the commonest label has not learned
GUESS = 0.5  # accuracy of a guess between left and right
HIGHLIGHT, PLAIN, DOT = "#2a6f97", "#b8c4ce", "#1b1b1b"
WIDTH, ROW_HEIGHT, MARGIN, DPI = 14.0, 0.5, 1.7, 110  # inches; pixels per inch


@dataclass(frozen=True, eq=False)
class AblationResult:
    """One network, trained once with each seed, and evaluated on the same clips as the others."""

    name: str
    network: Mapping[str, Any]  # its differences from TDN
    paper: PaperFigures | None
    parameters: int
    gmac: float  # a clip
    accuracies: tuple[Accuracy, ...]  # for each seed
    seconds: NDArray[np.float64]  # [seeds, clips]

    @property
    def top1(self) -> NDArray[np.float64]:
        """Accuracy for each seed, [seeds]."""
        return np.array([one.top1 for one in self.accuracies])

    @property
    def left_or_right(self) -> NDArray[np.float64]:
        """Share of left and right clips for which the right one of both scores higher, [seeds]; NaN: no such clips."""
        return np.array([_left_or_right(one) for one in self.accuracies])

    @cached_property
    def right(self) -> NDArray[np.float64]:
        """1 where a clip is right, else 0: [seeds, clips]."""
        return np.array([one.best[:, 0] == one.truth for one in self.accuracies], np.float64)

    @property
    def on_plateau(self) -> int:
        """Return the number of seeds with which the network has not learned to recognise motions: see PLATEAU."""
        return int((self.top1 <= _commonest(self.accuracies[0].truth) + PLATEAU).sum())

    def time_ratio(self, other: "AblationResult") -> float:
        """Return the median over the clips of the ratio of times; both took each clip at about the same time."""
        return float(np.median(self.seconds / other.seconds))

    def lead(self, other: "AblationResult") -> tuple[float, float]:
        """Return the difference in accuracy, compared clip by clip and seed by seed, and its standard error, as shares.

        The squared error is the sum of that over the clips and, of several seeds, that over the seeds.
        """
        more = self.right - other.right
        seeds, clips = more.shape
        squared = more.mean(0).var(ddof=1) / clips + (more.mean(1).var(ddof=1) / seeds if seeds > 1 else 0)
        return float(more.mean()), float(np.sqrt(squared))


def _left_or_right(one: Accuracy) -> float:
    sideways = np.isin(one.truth, SIDEWAYS)
    if not sideways.any():
        return float("nan")
    predicted = np.array(SIDEWAYS)[one.logits[sideways][:, SIDEWAYS].argmax(1)]
    return float(np.mean(predicted == one.truth[sideways]))


def to_json(results: Sequence[AblationResult], common: Mapping[str, Any]) -> bytes:
    """Return the content of ablation.json. `common`: keys of the settings that all networks share."""
    full, first = _full(results), results[0]
    models = []
    for one in results:
        lead = full.lead(one) if full and one is not full else None
        models.append(
            {
                "name": one.name,
                "differs_in": dict(one.network),
                "parameters": one.parameters,
                "gmac_per_clip": one.gmac,
                "ms_per_clip": 1000 * float(np.median(one.seconds)),
                "time_ratio": one.time_ratio(first),
                "paper": _paper_json(one.paper),
                "seeds_on_plateau": one.on_plateau,
                "top1": _spread_json(one.top1),
                "left_or_right": _spread_json(one.left_or_right),
                "tdn_leads_by": lead and {"mean": lead[0], "standard_error": lead[1]},
                "seeds": [accuracy_json(accuracy) for accuracy in one.accuracies],
            }
        )
    plateau = _commonest(first.accuracies[0].truth) + PLATEAU
    found = {
        "schema": 1,
        **common,
        "plateau_top1": plateau,
        "paper_of": PAPER,
        "time_ratio_to": first.name,
        "models": models,
    }
    return (json.dumps(found, indent=1) + "\n").encode()


def table(results: Sequence[AblationResult]) -> Table:
    """Return a table with a row for each network."""
    printed = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(_columns(results)):
        printed.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in _rows(results):
        printed.add_row(*row)
    return printed


def markdown(results: Sequence[AblationResult]) -> str:
    """Return the same table as Markdown."""
    columns = [column.replace("\n", " ") for column in _columns(results)]
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *_rows(results)))


def notes(results: Sequence[AblationResult]) -> list[str]:
    """Return what a reader of the table needs to know."""
    truth = results[0].accuracies[0].truth
    sideways = int(np.isin(truth, SIDEWAYS).sum())
    seeds = len(results[0].accuracies)
    lines = [
        f"evaluated on {len(truth)} clips, {sideways} of them left or right, of which a guess gets half right; always "
        f"predicting the commonest label is right in {_commonest(truth):.1%} of all",
        f"±: {f'standard deviation over {seeds} seeds; ' if seeds > 1 else ''}for the lead its standard error over "
        f"the clips{' and seeds' if seeds > 1 else ''}",
    ]
    lines.append(_plateau_note(results))
    if any(one.paper for one in results):
        lines.append(f"paper: {PAPER}; other clips and another network: compare the order, not the figures")
        lines.append(PAPER_NOTE)
    return lines


def _plateau_note(results: Sequence[AblationResult]) -> str:
    limit = f"the plateau (top-1 at most {100 * PLATEAU:.0f} points above always predicting the commonest label)"
    stayed = [one for one in results if one.on_plateau]
    if not stayed:
        return f"no network stayed on {limit}"
    names = ", ".join(f"{one.name} with {one.on_plateau} of {len(one.accuracies)} seeds" for one in stayed)
    return f"on {limit}: {names}; these figures describe the training, not what the network can do"


def _columns(results: Sequence[AblationResult]) -> tuple[str, ...]:
    return (*COLUMNS, f"time\n/ {results[0].name}", *PAPER_COLUMNS)


def _rows(results: Sequence[AblationResult]) -> list[tuple[str, ...]]:
    full = _full(results)
    rows: list[tuple[str, ...]] = []
    for one in results:
        lead, error = full.lead(one) if full and one is not full else (None, 0.0)
        rows.append(
            (
                one.name,
                _spread(one.top1),
                "" if lead is None else f"{100 * lead:+.1f} ± {100 * error:.1f}",
                _spread(one.left_or_right),
                f"{one.parameters / 1e6:.2f}",
                f"{one.gmac:.2f}",
                f"{1000 * np.median(one.seconds):.1f}",
                f"{one.time_ratio(results[0]):.2f}",
                *_paper_cells(one.paper),
            )
        )
    return rows


def _paper_cells(paper: PaperFigures | None) -> tuple[str, ...]:
    stated = (None,) * len(PAPER_COLUMNS) if paper is None else (paper.top1, paper.top5, paper.gflop)
    return tuple("" if value is None else str(value) for value in stated)


def _paper_json(paper: PaperFigures | None) -> dict[str, Any] | None:
    if paper is None:
        return None
    top5 = None if paper.top5 is None else round(paper.top5 / 100, 3)
    return {"top1": round(paper.top1 / 100, 3), "top5": top5, "gflop_per_clip": paper.gflop}


def _full(results: Sequence[AblationResult]) -> AblationResult | None:
    return next((one for one in results if one.name == FULL), None)


def _spread(shares: NDArray[np.float64]) -> str:
    if np.isnan(shares).any():
        return "-"
    deviation = f" ± {100 * shares.std(ddof=1):.1f}" if len(shares) > 1 else ""
    return f"{100 * shares.mean():.1f}{deviation}"


def _spread_json(shares: NDArray[np.float64]) -> dict[str, Any]:
    if np.isnan(shares).any():
        return {"mean": None, "deviation": None, "seeds": [None] * len(shares)}
    deviation = float(shares.std(ddof=1)) if len(shares) > 1 else None
    return {"mean": float(shares.mean()), "deviation": deviation, "seeds": shares.tolist()}


def _commonest(truth: NDArray[np.int64]) -> float:
    return float(np.bincount(truth).max() / len(truth))


def picture(results: Sequence[AblationResult], title: str) -> bytes:
    """Return a PNG with a row for each network. Bars are means, dots are seeds, dashed is the result of guessing."""
    figure = Figure((WIDTH, ROW_HEIGHT * len(results) + MARGIN), dpi=DPI, layout="constrained")
    figure.suptitle(title, parse_math=False, x=0.01, ha="left", fontsize=11)
    first, second, third, fourth = figure.subplots(1, 4, sharey=True, width_ratios=(4, 4, 3, 3))
    guess = _commonest(results[0].accuracies[0].truth)
    _shares(first, [one.top1 for one in results], guess, "top-1 (dashed: always the commonest label)")
    _shares(second, [one.left_or_right for one in results], GUESS, "left or right (dashed: guessing)")
    times = [one.time_ratio(results[0]) for one in results]
    costs = [f"{ratio:.2f}   {one.gmac:.2f} GMAC" for ratio, one in zip(times, results, strict=True)]
    _bars(third, times, costs, times)
    third.set(xlim=(0, 1.9 * max(times)), xlabel=f"time of a clip / {results[0].name}'s")
    papers = [0.0 if one.paper is None else one.paper.top1 / 100 for one in results]
    _bars(fourth, papers, ["" if one.paper is None else f"{one.paper.top1} %" for one in results], papers)
    fourth.set(xlim=(0, 1), xlabel="the paper's top-1 (other clips)")
    fourth.xaxis.set_major_formatter(_percent)
    first.set_yticks(range(len(results)), [one.name for one in results])
    first.set_ylim(len(results) - 0.4, -0.6)
    for bar, one in enumerate(results):
        if one.name == FULL:
            for axes in (first, second, third, fourth):
                axes.patches[bar].set_facecolor(HIGHLIGHT)
    return png(figure)


def _shares(axes: Axes, shares: Sequence[NDArray[np.float64]], chance: float, name: str) -> None:
    known = [np.nan_to_num(one) for one in shares]
    _bars(axes, [float(one.mean()) for one in known], [f"{_spread(one)} %" for one in shares], [*map(max, known)])
    for row, one in enumerate(known):
        if len(one) > 1:
            axes.plot(one, np.full(len(one), row), "o", ms=3.5, color=DOT)
    axes.axvline(chance, color="0.35", lw=1, ls="--")
    axes.set(xlim=(0, 1.32), xlabel=name, xticks=np.linspace(0, 1, 5))
    axes.xaxis.set_major_formatter(_percent)


def _percent(share: float, _: object) -> str:
    return f"{share:.0%}"


def _bars(axes: Axes, lengths: Sequence[float], texts: Sequence[str], ends: Sequence[float]) -> None:
    """Draw bars with texts. `ends`: where the texts begin."""
    axes.barh(range(len(lengths)), lengths, height=0.62, color=PLAIN)
    for row, (end, text) in enumerate(zip(ends, texts, strict=True)):
        axes.annotate(text, (end, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
