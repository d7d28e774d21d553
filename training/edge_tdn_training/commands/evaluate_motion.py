"""How well a model folder knows what moves: on generated clips that nobody learnt from, and on crops of real video.

    edge-tdn-train judge-motion motion --crops VIDEOS

Through the runtime of the daemon, in any precision that the folder has.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from edge_tdn_export.clips import find_videos
from numpy.typing import NDArray
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import InputSpec, Model, find_model, open_model
from edge_tdn_training.commands.contact_sheet import Row, write_sheet
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.real_crops import MOST_SPELLS, real_crops
from edge_tdn_training.evaluation.report import class_table, share
from edge_tdn_training.progress import counted
from edge_tdn_training.synthetic.clips import HELD_OUT, lesson

EPILOG = """the shipped model, on 500 generated clips and on windows that move over your own videos:
  edge-tdn-train judge-motion motion --generated 500 --crops videos/

which clips does it get wrong? (a picture, a row for each)
  edge-tdn-train judge-motion motion --crops videos/ --wrong wrong.png
"""
MOST_ROWS = 60  # of the sheet, for each kind of clips
SIDEWAYS = [MOTIONS.index("left"), MOTIONS.index("right")]
STILL = MOTIONS.index("still")

Clip = tuple[str, NDArray[np.uint8], int]  # its name, uint8 [T, InputSpec.frames, H, W, 3], index into MOTIONS
Confusion = NDArray[np.int64]  # [labels, labels]: rows are true, columns what the model says


def swapped(confusion: Confusion) -> float | None:
    """Share of left and right that were called the other; None: there was neither."""
    left, right = SIDEWAYS
    return _share(confusion[left, right] + confusion[right, left], confusion[SIDEWAYS].sum())


def false_alarms(confusion: Confusion) -> float | None:
    """Share of still clips in which something moves, it says; None: there was none."""
    still = confusion[STILL]
    return _share(still.sum() - still[STILL], still.sum())


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def judge(runtime: Runtime, clips: Iterable[Clip]) -> tuple[Accuracy, list[Row]]:
    """What it says of clips whose labels are known, and the first of those that it gets wrong. ModelError: no clip."""
    logits: list[NDArray[np.float32]] = []
    truth: list[int] = []
    wrong: list[Row] = []
    for name, frames, label in clips:
        logits.append(scores(runtime, frames))
        truth.append(label)
        said = int(np.argmax(logits[-1]))
        if said != label and len(wrong) < MOST_ROWS:
            wrong.append((f"{name}\n{MOTIONS[label]}\nsays {MOTIONS[said]}", frames))
    if not truth:
        raise ModelError("not one clip to judge by; the videos are too short, or their cameras move")
    return Accuracy(MOTIONS, np.stack(logits), np.array(truth)), wrong


def generated_clips(spec: InputSpec, count: int) -> Iterator[Clip]:
    """The first of the clips that are never learnt from."""
    for number in range(count):
        one = lesson(HELD_OUT + number, spec)
        yield str(number), one.frames, one.label


def add_parser(commands: Any) -> None:
    """The subcommand `judge-motion`."""
    parser = commands.add_parser(
        "judge-motion", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.set_defaults(command=run)
    parser.add_argument("model", help="a model folder, or the name of a shipped model")
    parser.add_argument(
        "--generated", type=int, default=500, metavar="N", help="held-out clips (default: 500; 0: none)"
    )
    parser.add_argument("--crops", type=Path, metavar="DIR", help="real videos that windows move over (default: none)")
    parser.add_argument("--seed", type=int, default=1, help="of the windows (default: 1)")
    parser.add_argument("--precision", default="fp32", help="of the folder's (default: fp32)")
    parser.add_argument("--wrong", type=Path, metavar="PNG",
                        help=f"draw what it gets wrong, {MOST_ROWS} clips of each kind at most")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Judges, prints tables; exit status 0. EdgeTdnError: options, model, labels or videos do not do."""
    for name in ("generated", "seed"):
        if getattr(options, name) < 0:
            raise ConfigError(f"--{name} {getattr(options, name)}: must be 0 or more")
    if not (options.generated or options.crops):
        raise ConfigError("--generated 0 without --crops: nothing to judge by")
    model = open_model(find_model(options.model, Path.cwd()))
    check_labels(model)
    spec = model.manifest.input
    videos = find_videos(options.crops) if options.crops else []
    left_out: Counter[str] = Counter()
    kinds: dict[str, tuple[Iterable[Clip], int]] = {}
    if options.generated:
        kinds["generated"] = generated_clips(spec, options.generated), options.generated
    if videos:
        crops = real_crops(videos, spec, options.seed, left_out=lambda why: left_out.update([why]))
        total = len(videos) * MOST_SPELLS * len(MOTIONS)  # at most: of short videos come fewer
        kinds["real crops"] = ((crop.video.stem, crop.frames, crop.label) for crop in crops), total
    console, wrong = Console(markup=False, highlight=False, soft_wrap=True), []
    try:
        with closing(open_runtime(model, options.precision)) as runtime:
            for kind, (clips, total) in kinds.items():
                with counted() as progress:
                    judged, rows = judge(runtime, progress.track(clips, total, description=kind))
                wrong += rows
                tell(console, kind, judged)
    finally:  # where nothing is left to judge by, this says why
        for why, count in left_out.items():
            console.print(f"{count} crops left out: {why}")
    if options.wrong and wrong:
        write_sheet(wrong, options.wrong)
        console.print(f"written: {options.wrong}, {len(wrong)} clips")
    return 0


def tell(console: Console, name: str, judged: Accuracy) -> None:
    """Recalls by label, top-1, and what must not happen."""
    console.print(class_table({name: judged}))
    confusion = judged.confusion
    console.print(
        f"{name}: {len(judged.truth)} clips, top-1 {judged.top1:.1%}; left and right swapped "
        f"{share(swapped(confusion))}, still called moving {share(false_alarms(confusion))}"
    )


def check_labels(model: Model) -> None:
    """ModelError: it knows other labels, or in another order."""
    if tuple(model.labels) != MOTIONS:
        raise ModelError(f"{model.folder}: knows {', '.join(model.labels)}; to be judged here: {', '.join(MOTIONS)}")
