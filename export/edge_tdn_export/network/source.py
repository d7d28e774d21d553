"""The weights that a command is given, and what the folder around them states: labels, background and input.

A file of weights, a run's folder of edge-tdn-train, or a model folder. Our own weights state their input themselves;
those of older runs and model folders have it in run.json, or in the manifest, beside them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.errors import ModelError, last_line
from edge_tdn.manifest import LABELS, MANIFEST, WEIGHTS, InputSpec, Model, find_model, open_model, shipped_models
from edge_tdn.spelling import hint
from edge_tdn.teaching.class_folder import is_background
from edge_tdn_export.network.checkpoint_file import read_input
from edge_tdn_export.network.input_spec import KINETICS_CLASSES, SOMETHING_CLASSES

RUN = "run.json"  # in the folder of a training
LABEL_LISTS = {  # number of classes -> where the data set's list of labels is
    SOMETHING_CLASSES: "Something-Something V2: something-something-v2-labels.json (V1: the sorted lines of "
    "something-something-v1-labels.csv) of https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    KINETICS_CLASSES: "Kinetics-400: tools/data/kinetics/label_map_k400.txt of https://github.com/open-mmlab/mmaction2",
}


@dataclass(frozen=True, eq=False)
class WeightsSource:
    """A file of weights, and what is known about it; None: not stated."""

    weights: Path
    input: InputSpec | None = None
    labels: Path | None = None
    model: Model | None = None  # the model folder that the weights are of

    def labels_for(self, classes: int) -> Path:
        """Return the file of labels. ModelError: there is none; the message says where published ones are."""
        if self.labels is not None:
            return self.labels
        known = LABEL_LISTS.get(classes)
        raise ModelError(
            f"{self.weights}: {classes} classes, and no {LABELS} beside it; give the labels with --labels"
            + (f". {known}" if known else ", one line per class in the order of the training")
        )

    def background_of(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Return the labels that never start an action: as a model folder states, else the class `background`."""
        return self.model.manifest.background if self.model else tuple(filter(is_background, labels))


def locate(name: str | Path) -> Path:
    """Return the path of a file of weights, a run's folder, a model folder or a shipped model.

    A local folder without a manifest, run.json or weights does not hide a shipped model of its name. ModelError: there
    is nothing of this name.
    """
    path = Path(name)
    if any((path / own).is_file() for own in (MANIFEST, RUN, WEIGHTS)):
        return path
    folder = find_model(str(name), Path.cwd())
    if (folder / MANIFEST).is_file():
        return folder
    if path.exists():
        return path
    near = hint(str(name), [model.name for model in shipped_models().iterdir()])
    raise ModelError("; ".join(filter(None, (f"{name}: no such checkpoint, run, model folder or shipped model", near))))


def find_source(name: str | Path) -> WeightsSource:
    """Return the weights of what `locate` finds. ModelError: the model folder is damaged, or it is an ensemble."""
    path = locate(name)
    folder = path if path.is_dir() else path.parent
    if (folder / MANIFEST).is_file() and (path.is_dir() or path.name == WEIGHTS):
        return _of_model(open_model(folder))
    if any((path / own).is_file() for own in (RUN, WEIGHTS)):
        path = path / WEIGHTS
    labels = folder / LABELS if (folder / LABELS).is_file() else None
    return WeightsSource(path, _stated_input(path), labels)


def _of_model(model: Model) -> WeightsSource:
    if len(model.manifest.members) > 1:
        raise ModelError(f"{model.folder}: is an ensemble; give one of the model folders that it was made of")
    (member,) = model.manifest.members
    return WeightsSource(model.folder / member.weights, model.manifest.input, model.folder / LABELS, model)


def _stated_input(weights: Path) -> InputSpec | None:
    """Return the input that weights state, else that of the run that they are of. ModelError: it is not valid."""
    if weights.is_file() and (stated := read_input(weights)):
        return stated
    record = weights.with_name(RUN)
    if weights.name != WEIGHTS or not record.is_file():
        return None
    try:
        return InputSpec.model_validate(json.loads(record.read_bytes())["input"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{record}: not a run.json that a training wrote: {last_line(error)}") from error
