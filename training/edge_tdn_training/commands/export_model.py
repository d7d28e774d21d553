"""Trained weights -> a model folder for a host: exported, in INT8 as well, and compared with PyTorch."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_tdn_export.clips import read_clips
from edge_tdn_export.convert import convert, ensemble
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity import compare
from edge_tdn_export.parity.report import to_html, to_json
from edge_tdn_export.parity.result import ParityReport
from edge_tdn_export.progress import ProgressDisplay, stepped
from edge_tdn_export.quantize import quantize
from edge_tdn_export.video_files import Reading

from edge_tdn.capture.picture_folder import AS_FOUND, Pictures
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.errors import ModelError, last_line
from edge_tdn.manifest import Model, open_model

MODEL = "model"
FILES = "files of the training data, held-out seconds included"
MAX_COMPARED = 800  # segments that are compared, of all videos together: of a ResNet-50 two minutes on two cores
REFERENCE = "fp32"  # the precision that a folder cannot do without


def export_model(
    parts: Sequence[tuple[TDN, convert.Recipe]], videos: Sequence[Path], folder: Path, pictures: Pictures = AS_FOUND
) -> tuple[ParityReport, list[str]]:
    """Fill the empty `folder`; return the comparison with PyTorch, and notes for the user.

    `parts`: networks whose logits are added, with recipes that differ in the source of the weights only. `videos`:
    files that INT8 is calibrated on and everything is compared on, held-out seconds included; folders of pictures among
    them are read as `pictures` describes. A reduced precision that exceeds its limits, or cannot be made, is left out.
    ModelError: the export fails.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of operators that no TDN has
    notes = _convert_all(parts, folder / MODEL)
    for path in (folder / MODEL).iterdir():
        path.rename(folder / path.name)
    (folder / MODEL).rmdir()
    with tempfile.TemporaryDirectory() as scratch:
        links = Path(scratch)
        link_videos(videos, links)
        try:
            _to_int8(folder, links, Reading(pictures=pictures))
        except Exception as error:  # whatever NNCF raises, the other precisions are of use
            reason = last_line(error).removeprefix(f"{folder}: ")  # a temporary name
            notes.append(f"no int8: {reason}; edge-tdn-export quantize also takes other videos, with --clips")
        model = open_model(folder)
        report = _compare(model, links, Reading(pictures=pictures))
    compare.record(model, report)
    write_at_once(folder / "parity.json", to_json(report).encode())
    write_at_once(folder / "parity.html", to_html(report).encode())
    return report, notes


def link_videos(videos: Sequence[Path], folder: Path) -> None:
    """Link videos into a folder, each below a number: their names may be the same, or as long as names can be."""
    for number, video in enumerate(videos):
        (folder / f"{number:04}").mkdir()
        (folder / f"{number:04}" / video.name).symlink_to(video.resolve())


def _convert_all(parts: Sequence[tuple[TDN, convert.Recipe]], out: Path) -> list[str]:
    """Create the folder `out` of one network, or of an ensemble; return notes as `_convert` does."""
    if len(parts) == 1:
        return _convert(*parts[0], out)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folders = [Path(scratch) / str(number) for number in range(len(parts))]
        notes = [note for part, one in zip(parts, folders, strict=True) for note in _convert(*part, one)]
        with stepped(ensemble.steps(folders), "joining the networks") as step:
            ensemble.ensemble(folders, out, id=parts[0][1].id, step=step)
    return notes


def _convert(network: TDN, recipe: convert.Recipe, out: Path) -> list[str]:
    """Create the folder `out` without the precisions that exceed their limits; return a note about these.

    ModelError: the export fails, or it is FP32 that exceeds its limit.
    """
    try:
        with stepped(convert.steps(recipe.precisions), "exporting") as step:
            convert.convert(network, recipe, out, step)
    except convert.InexactExport as error:
        if REFERENCE in error.precisions:
            raise
        kept = tuple(name for name in recipe.precisions if name not in error.precisions)
        return [f"no {', '.join(error.precisions)}: {error}", *_convert(network, replace(recipe, precisions=kept), out)]
    return []


def _to_int8(folder: Path, videos: Path, reading: Reading) -> None:
    with ProgressDisplay() as progress:
        step = lambda what, done, total: progress.report(f"INT8, {what}", done, total)  # noqa: E731
        quantize.quantize(folder, videos, quick=True, step=step, reading=reading)


def _compare(model: Model, videos: Path, reading: Reading) -> ParityReport:
    """Compare all precisions with PyTorch: on the demo clip, if no video is as long as a clip of the model."""
    spec = model.manifest.input
    try:
        clips, where = read_clips(videos, spec, max_segments=MAX_COMPARED, reading=reading), FILES
    except ModelError:
        clips, where = read_clips(demo_clip(), spec), "the demo clip"
    precisions = [name for name in model.manifest.precisions if convert.runs_here(name)]
    with stepped(compare.steps(clips, model, precisions), "comparing") as step:
        return compare.compare(model, precisions, clips, where, step)
