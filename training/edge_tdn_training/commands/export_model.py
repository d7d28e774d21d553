"""Trained weights -> a model folder that a host takes: exported, in INT8 too, and proven equal to PyTorch."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_tdn_export.clips import read_clips
from edge_tdn_export.convert import convert
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity import compare
from edge_tdn_export.parity.report import to_html, to_json
from edge_tdn_export.parity.result import ParityReport
from edge_tdn_export.progress import bar, stepped
from edge_tdn_export.quantize import quantize

from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.errors import ModelError, last_line
from edge_tdn.manifest import Model, open_model

MOST_CLIPS = 64  # that precisions are compared on
MODEL = "model"


def deliver(
    network: TDN, recipe: convert.Recipe, videos: Sequence[Path], folder: Path
) -> tuple[ParityReport, list[str]]:
    """Fills the empty `folder`; what parity found, and what a person should know.

    `videos`: what INT8 is calibrated on, and everything is compared on: whole files, seconds that are held out of
    learning included. Where INT8 cannot be made of these, the folder is without it. ModelError: the export fails.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses what no TDN has
    with stepped(convert.steps(recipe.precisions), "exporting") as step:
        convert.convert(network, recipe, folder / MODEL, step)
    for path in (folder / MODEL).iterdir():
        path.rename(folder / path.name)
    (folder / MODEL).rmdir()
    said: list[str] = []
    with tempfile.TemporaryDirectory() as room:
        names = Path(room)
        for number, video in enumerate(videos):
            (names / f"{number:04}-{video.name}").symlink_to(video.resolve())
        try:
            _to_int8(folder, names)
        except ModelError as error:
            reason = last_line(error).removeprefix(f"{folder}: ")  # which is a temporary name
            said.append(f"no int8: {reason}; edge-tdn-export quantize has --limit, and takes other videos for --clips")
        model = open_model(folder)
        report = _compare(model, names)
    compare.record(model, report)
    write_at_once(folder / "parity.json", to_json(report).encode())
    write_at_once(folder / "parity.html", to_html(report).encode())
    return report, said


def _to_int8(folder: Path, videos: Path) -> None:
    with bar() as progress:
        task = progress.add_task("")
        quantize.quantize(
            folder, videos, quick=True,
            step=lambda what, done, total: progress.update(
                task, description=f"INT8: {what}", completed=done + 1, total=total
            ),
        )  # fmt: skip


def _compare(model: Model, videos: Path) -> ParityReport:
    """On the demo clip, where no video is as long as a clip of this model."""
    spec = model.manifest.input
    try:
        clips, where = read_clips(videos, spec), "whole files of those that it learnt from"
    except ModelError:
        clips, where = read_clips(demo_clip(), spec), "the demo clip"
    precisions = [name for name in model.manifest.precisions if convert.runs_here(name)]
    with stepped(compare.steps(clips, model, precisions), "comparing") as step:
        return compare.compare(model, precisions, clips, where, step, MOST_CLIPS)
