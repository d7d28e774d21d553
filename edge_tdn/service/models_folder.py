"""The models that were trained on the page, and which of them serves.

page/
├── clips/               what they learn from
├── models/<id>/         model folders, and `<id>.run`, a training that can be continued
├── current -> models/<id>      the one that was taken over; the configuration names this link
└── cache/               decoded videos and their features
"""

import importlib.util
import json
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_tdn.config.resolved_zones import all_zones
from edge_tdn.config.tables import RuntimeConfig
from edge_tdn.errors import EdgeTdnError
from edge_tdn.hub.config_lines import model_toml
from edge_tdn.hub.teaching_access import TakeOver, TaughtModel, TeachingRefused
from edge_tdn.label_file import parse_labels
from edge_tdn.manifest import ID_PATTERN, LABELS, MANIFEST, Manifest, find_model, open_model
from edge_tdn.messages import iso
from edge_tdn.service.running import Running
from edge_tdn.shell import remote_path

log = logging.getLogger(__name__)

CLIPS, MODELS, CURRENT, CACHE = "clips", "models", "current", "cache"
REPORT = "finetune.json"
RUN_SUFFIX = ".run"  # of the folder of a training, beside the model's
MAX_REPORT_BYTES = 4_000_000
MAX_CONFUSION = 100  # classes; a larger matrix is not shown
TRAINER_PARTS = ("edge_tdn_training", "edge_tdn_export", "torch", "nncf")

Reload = Callable[[Callable[[], None]], None]  # requests a reload; calls what it is given if that is refused


class _Result(BaseModel):
    """The figures of a precision."""

    videos: int
    top1: float
    confusion: tuple[tuple[int, ...], ...]


class _Report(BaseModel):
    """The parts of finetune.json that are shown."""

    notes: tuple[str, ...] = ()
    results: dict[str, _Result] = {}
    hop_ms: dict[str, float] = {}


def list_models(folder: Path, serving: Collection[str]) -> tuple[TaughtModel, ...]:
    """Return the models in the page's folder, newest first.

    `serving`: SHA-256 of the manifests of the models that are used. The files are not verified: that takes seconds.
    What is not a model folder is left out, as one that is being copied.
    """
    found = []
    current = current_model(folder)
    for path in _folders(folder):
        try:
            found.append(_taught(path, current, serving))
        except (OSError, ValueError, EdgeTdnError) as error:
            log.debug("%s is not shown: %s", path, error)
    return tuple(sorted(found, key=lambda model: (model.at, model.id), reverse=True))


def has_model(folder: Path, model_id: str) -> bool:
    """Return whether a model of this id is complete in the page's folder."""
    return (folder / MODELS / model_id / MANIFEST).is_file()


def model_folder(folder: Path, model_id: str) -> Path:
    """Return the folder of a model. TeachingRefused: there is none; no text of a client reaches another folder."""
    if not _is_id(model_id) or not has_model(folder, model_id):
        raise TeachingRefused(f"there is no model {model_id[:64]!r} here; the list shows all")
    return folder / MODELS / model_id


def check_new_model(folder: Path, model_id: str) -> None:
    """Raise TeachingRefused if no model of this id can be trained."""
    if not _is_id(model_id):
        raise TeachingRefused(
            f"{model_id[:64]!r} cannot be the name of a model: use 1 to 64 of a-z, A-Z, 0-9, dot, dash and underline, "
            f"with a letter or digit first, and not {RUN_SUFFIX!r} at the end"
        )
    if os.path.lexists(folder / MODELS / model_id):
        raise TeachingRefused(f"there is a model {model_id!r} already; choose another name")


def current_model(folder: Path) -> str | None:
    """Return the id of the model that was taken over; None: none was."""
    try:
        return (folder / CURRENT).readlink().name
    except OSError:
        return None


def point_current(folder: Path, model_id: str) -> None:
    """Make the link `current` name a model, in one step. TeachingRefused: the folder cannot be written."""
    link = folder / CURRENT
    scratch = folder / f".{CURRENT}.{os.getpid()}"
    try:
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(Path(MODELS) / model_id)  # relative, so that the page's folder can be moved
        scratch.replace(link)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise TeachingRefused(f"{link}: {error.strerror}") from error


def find_trainer(trainer: str) -> tuple[str, ...] | None:
    """Return the words that start the trainer: `[web] trainer`, or else the one in this environment; None: neither.

    `trainer`: path, or name in PATH, of `edge-tdn-train` in another environment; empty: not configured.
    """
    if trainer:
        found = shutil.which(str(Path(trainer).expanduser()))
        return (str(Path(found).absolute()),) if found else None  # the trainer starts in another folder
    if all(importlib.util.find_spec(part) for part in TRAINER_PARTS):
        return sys.executable, "-P", "-m", "edge_tdn_training"
    return None


def training_command(folder: Path) -> str:
    """Return the commands that train on another computer and bring the model back; a line each."""
    folder = folder.absolute()
    return "\n".join(
        [
            shlex.join(["scp", "-r", remote_path(folder / CLIPS), "."]),
            f"edge-tdn-train finetune --data {CLIPS} --out {MODELS}/NAME",
            shlex.join(["scp", "-r", f"{MODELS}/NAME", f"{remote_path(folder / MODELS)}/"]),
        ]
    )


def how_to_take_over(running: Running, folder: Path) -> TakeOver:
    """Return whether a model can be taken over by a click, and the lines of the configuration for it."""
    link = folder.absolute() / CURRENT
    return TakeOver(configured=_is_configured(running, link), model=str(link), toml=model_toml(str(link)))


def take_over(running: Running, reload: Reload, folder: Path, model_id: str) -> TakeOver:
    """Make `current` name a model, and have the configuration read again if it names `current`.

    If the reload is refused, `current` names the model before again, which still serves; the status of the
    configuration has the reason. TeachingRefused: there is no such model, or it is damaged.
    """
    chosen = model_folder(folder, model_id)
    try:
        open_model(chosen)
    except EdgeTdnError as error:
        raise TeachingRefused(f"{model_id} cannot be taken over: {error}") from error
    before = current_model(folder)
    point_current(folder, model_id)
    how = how_to_take_over(running, folder)
    if how.configured:
        reload(lambda: _put_back(folder, model_id, before))
    return how


def _put_back(folder: Path, model_id: str, before: str | None) -> None:
    """Undo a take-over, unless another one has followed."""
    if before is None or current_model(folder) != model_id or not has_model(folder, before):
        return
    try:
        point_current(folder, before)
    except TeachingRefused as error:
        log.error("%s still names %s, which was refused: %s", folder / CURRENT, model_id, error)
    else:
        log.info("%s names %s again", folder / CURRENT, before)


def _is_configured(running: Running, link: Path) -> bool:
    """Return whether a camera or zone uses the model that a link names."""
    base = running.shared.networks.base
    names = {zone.choice.model for _, zone in all_zones(running.config)}
    return any(_place(find_model(name, base)) == _place(link) for name in names)


def _place(link: Path) -> Path:
    """Return the path of a link itself, whichever way leads to its folder."""
    return link.parent.resolve() / link.name


def _is_id(text: str) -> bool:
    return bool(re.fullmatch(ID_PATTERN, text)) and text[0].isalnum() and not text.endswith(RUN_SUFFIX)


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in (folder / MODELS).iterdir() if _is_id(path.name) and has_model(folder, path.name)]
    except OSError:
        return []


def _taught(path: Path, current: str | None, serving: Collection[str]) -> TaughtModel:
    """Read a model folder. OSError, ValueError, EdgeTdnError: it is not one."""
    raw = (path / MANIFEST).read_bytes()
    manifest = Manifest.model_validate_json(raw, strict=False)
    labels = parse_labels(path / LABELS, (path / LABELS).read_bytes())
    report = _report(path / REPORT)
    results = report.results
    precision = RuntimeConfig().precision  # as in the picture of the confusion in the folder
    shown = results.get(precision) or next(iter(results.values()), None)
    return TaughtModel(
        id=path.name,
        at=iso((path / MANIFEST).stat().st_mtime_ns),
        labels=labels,
        background=manifest.background,
        evaluated=shown.videos if shown else 0,
        top1={name: result.top1 for name, result in results.items()},
        hop_ms=report.hop_ms,
        confusion=shown.confusion if shown and len(labels) <= MAX_CONFUSION else (),
        notes=report.notes,
        current=path.name == current,
        serving=sha256(raw).hexdigest() in serving,
    )


def _report(path: Path) -> _Report:
    """Return the figures of a training; empty ones if there are none, as of a model that was converted."""
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            return _Report()
        content: Any = json.loads(path.read_bytes())
        return _Report.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        log.debug("%s: %s", path, error)
        return _Report()
