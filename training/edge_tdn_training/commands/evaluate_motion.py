"""`edge-tdn-train evaluate-motion`: a model of motions, on generated held-out clips and on crops of real video.

    edge-tdn-train evaluate-motion motion --crops VIDEOS

The model runs in the daemon's own runtime, in any precision of its folder.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from edge_tdn_export.clips import find_videos
from edge_tdn_export.progress import ProgressDisplay
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import find_model, open_model
from edge_tdn.output import check_output_file
from edge_tdn_training.commands.option_checks import check_ranges
from edge_tdn_training.evaluation.clip_sheet import Row, write_sheet
from edge_tdn_training.evaluation.motion_clips import (
    NamedClip,
    check_labels,
    evaluate_clips,
    generated_clips,
    print_accuracy,
)
from edge_tdn_training.evaluation.real_crops import MAX_PARTS, real_crops


def run(options: argparse.Namespace) -> int:
    """Evaluate and print tables; return the exit status 0. EdgeTdnError: options, model or videos are wrong."""
    check_ranges(options, {"generated": (0, None), "seed": (0, None)})
    if not (options.generated or options.crops):
        raise ConfigError("--generated 0 without --crops: nothing to evaluate on")
    if options.wrong:
        check_output_file(options.wrong)
    model = open_model(find_model(options.model, Path.cwd()))
    check_labels(model)
    spec = model.manifest.input
    videos = find_videos(options.crops) if options.crops else []
    left_out: Counter[str] = Counter()
    kinds: dict[str, tuple[Iterable[NamedClip], int]] = {}
    if options.generated:
        kinds["generated"] = generated_clips(spec, options.generated), options.generated
    if videos:
        crops = real_crops(videos, spec, options.seed, left_out=lambda reason: left_out.update([reason]))
        total = len(videos) * MAX_PARTS * len(MOTIONS)  # at most: short videos give fewer
        kinds["real crops"] = ((crop.video.stem, crop.frames, crop.label) for crop in crops), total
    console = Console(markup=False, highlight=False, soft_wrap=True)
    wrong: list[Row] = []
    try:
        with closing(open_runtime(model, options.precision)) as runtime:
            for kind, (clips, total) in kinds.items():
                with ProgressDisplay() as progress:
                    accuracy, rows = evaluate_clips(runtime, progress.track(clips, total, kind))
                wrong += rows
                print_accuracy(console, kind, accuracy)
    finally:  # if no clip is left, these lines are the reason
        for reason, count in left_out.items():
            console.print(f"{count} crops left out: {reason}")
    if options.wrong and wrong:
        write_sheet(wrong, options.wrong)
        console.print(f"written: {options.wrong}, {len(wrong)} clips")
    return 0
