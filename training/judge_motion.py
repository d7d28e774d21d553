"""How well a model folder knows what moves: on generated clips that nobody learnt from, and on crops of real video.

    edge-tdn-train judge-motion motion --crops VIDEOS

Through the runtime of the daemon, in any precision that the folder has.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec, Model, find_model, open_model
from edge_tdn.runtime import Runtime, open_runtime, scores
from edge_tdn.scene import LABELS
from export.clips import find_videos
from training.contact_sheet import write_sheet
from training.motion import HELD_OUT, lesson
from training.real_crops import MOST_SPELLS, real_crops

EPILOG = """the shipped model, on 500 generated clips and on windows that move over your own videos:
  edge-tdn-train judge-motion motion --generated 500 --crops videos/

which clips does it get wrong? (a picture, a row for each)
  edge-tdn-train judge-motion motion --crops videos/ --wrong wrong.png
"""
MOST_ROWS = 60  # of the sheet
SIDEWAYS = (LABELS.index("left"), LABELS.index("right"))
STILL = LABELS.index("still")

Clip = tuple[str, NDArray[np.uint8], int]  # its name, uint8 [T, 5, H, W, 3], index into LABELS


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a model said of clips whose labels are known."""

    confusion: NDArray[np.int64]  # [labels, labels]: rows are true, columns what the model says
    wrong: list[tuple[str, NDArray[np.uint8]]] = field(default_factory=list)  # the first of them: what to write, clip

    @property
    def top1(self) -> float:
        return float(np.trace(self.confusion) / max(1, self.confusion.sum()))

    @property
    def recalls(self) -> NDArray[np.float64]:
        """[labels], NaN where there was none."""
        with np.errstate(invalid="ignore"):
            shares: NDArray[np.float64] = np.diag(self.confusion) / self.confusion.sum(1)
        return shares

    @property
    def swapped(self) -> float:
        """Share of left and right that were called the other."""
        left, right = SIDEWAYS
        sideways = self.confusion[[left, right]].sum()
        return float((self.confusion[left, right] + self.confusion[right, left]) / max(1, sideways))

    @property
    def false_alarms(self) -> float:
        """Share of still clips in which something moves, it says."""
        return float(1 - self.confusion[STILL, STILL] / max(1, self.confusion[STILL].sum()))


def judge(runtime: Runtime, clips: Iterable[Clip]) -> Judgement:
    judgement = Judgement(np.zeros((len(LABELS), len(LABELS)), np.int64))
    for name, frames, label in clips:
        said = int(np.argmax(scores(runtime, frames)))
        judgement.confusion[label, said] += 1
        if said != label and len(judgement.wrong) < MOST_ROWS:
            judgement.wrong.append((f"{name}\n{LABELS[label]}\nsays {LABELS[said]}", frames))
    return judgement


def generated_clips(spec: InputSpec, count: int) -> Iterator[Clip]:
    """The first of the clips that are never learnt from."""
    for number in range(count):
        one = lesson(HELD_OUT + number, spec)
        yield str(number), one.frames, one.label


def cropped_clips(videos: list[Path], spec: InputSpec, seed: int) -> Iterator[Clip]:
    """Windows that move over real videos, all labels alike."""
    for crop in real_crops(videos, spec, seed):
        yield crop.video.stem, crop.frames, crop.label


def add_parser(commands: Any) -> None:
    """The subcommand `judge-motion`."""
    parser = commands.add_parser(
        "judge-motion", help="how well a model knows what moves: on generated clips, and on crops of real videos",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(command=run)
    parser.add_argument("model", help="a model folder, or the name of a shipped model")
    parser.add_argument(
        "--generated", type=int, default=500, metavar="N", help="held-out clips (default: 500; 0: none)"
    )
    parser.add_argument("--crops", type=Path, metavar="DIR", help="real videos that windows move over (default: none)")
    parser.add_argument("--seed", type=int, default=1, help="of the windows (default: 1)")
    parser.add_argument("--precision", default="fp32", help="of the folder's (default: fp32)")
    parser.add_argument("--wrong", type=Path, metavar="PNG", help=f"draw what it gets wrong, {MOST_ROWS} clips at most")


def run(options: argparse.Namespace) -> int:
    """Judges, prints a table; exit status 0. ModelError, SourceError: model, labels or videos do not do."""
    model = open_model(find_model(options.model, Path.cwd()))
    check_labels(model)
    spec = model.manifest.input
    videos = find_videos(options.crops) if options.crops else []
    runtime = open_runtime(model, options.precision)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    judged: dict[str, Judgement] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        if options.generated:
            clips = progress.track(generated_clips(spec, options.generated), options.generated, description="generated")
            judged["generated"] = judge(runtime, clips)
        if videos:
            total = len(videos) * MOST_SPELLS * len(LABELS)  # at most: of short videos come fewer
            clips = progress.track(cropped_clips(videos, spec, options.seed), total, description="crops of videos")
            judged["real crops"] = judge(runtime, clips)
    runtime.close()
    console = Console()
    console.print(table(judged))
    wrong = [row for judgement in judged.values() for row in judgement.wrong]
    if options.wrong and wrong:
        write_sheet(wrong, options.wrong)
        console.print(f"written: {options.wrong}, {len(wrong)} clips")
    return 0


def table(judged: dict[str, Judgement]) -> Table:
    """Top-1, recalls by label, and what must not happen, a column for each kind of clips."""
    shown = Table("", *judged)
    shown.add_row("clips", *(str(j.confusion.sum()) for j in judged.values()))
    shown.add_row("top-1", *(f"{j.top1:.1%}" for j in judged.values()), end_section=True)
    for index, label in enumerate(LABELS):
        shown.add_row(label, *(_share(j, index) for j in judged.values()))
    shown.add_section()
    shown.add_row("left and right swapped", *(f"{j.swapped:.1%}" for j in judged.values()))
    shown.add_row("still called moving", *(f"{j.false_alarms:.1%}" for j in judged.values()))
    return shown


def _share(judgement: Judgement, index: int) -> str:
    """Recall, and what the others were mostly called."""
    if not judgement.confusion[index].sum():
        return "-"
    others = judgement.confusion[index].copy()
    others[index] = 0
    often = f" ({LABELS[int(others.argmax())]} {others.max() / judgement.confusion[index].sum():.0%})"
    return f"{judgement.recalls[index]:.1%}{often if others.any() else ''}"


def check_labels(model: Model) -> None:
    """ModelError: it knows other labels, or in another order."""
    if tuple(model.labels) != LABELS:
        raise ModelError(f"{model.folder}: knows {', '.join(model.labels)}; to be judged here: {', '.join(LABELS)}")
