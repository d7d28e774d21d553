"""The weights that a command is given, and what the folder around them states: labels, background and input.

A file of weights, a run's folder of edge-tdn-train, or a model folder. Our own weights state their input themselves;
those of older model folders have it in the manifest beside them.
"""

from dataclasses import dataclass
from pathlib import Path

from edge_tdn.errors import ModelError
from edge_tdn.manifest import LABELS, MANIFEST, WEIGHTS, InputSpec, Model, open_model, shipped_models
from edge_tdn_export.network.checkpoint_file import read_input
from edge_tdn_export.network.input_spec import KINETICS_CLASSES, SOMETHING_CLASSES

LABEL_LISTS = {  # number of classes -> where the data set's list of labels is
    SOMETHING_CLASSES: "Something-Something V2: something-something-v2-labels.json (V1: the sorted lines of "
    "something-something-v1-labels.csv) of https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    KINETICS_CLASSES: "Kinetics-400: tools/data/kinetics/label_map_k400.txt of https://github.com/open-mmlab/mmaction2",
}


@dataclass(frozen=True)
class WeightsSource:
    """A file of weights, and what is known about it; None or empty: not stated."""

    weights: Path
    input: InputSpec | None = None
    labels: Path | None = None
    background: tuple[str, ...] = ()

    def labels_for(self, classes: int) -> Path:
        """Return the file of labels. ModelError: there is none; the message says where published ones are."""
        if self.labels is not None:
            return self.labels
        known = LABEL_LISTS.get(classes)
        raise ModelError(
            f"{self.weights}: {classes} classes, and no {LABELS} beside it; give the labels with --labels"
            + (f". {known}" if known else ", one line per class in the order of the training")
        )


def find_source(given: Path) -> WeightsSource:
    """Return the weights of a file, a run's folder, a model folder or a shipped model.

    ModelError: the model folder is damaged, or it is an ensemble.
    """
    shipped = shipped_models() / given
    if not given.exists() and len(given.parts) == 1 and (shipped / MANIFEST).is_file():
        given = shipped
    folder = given if given.is_dir() else given.parent
    if (folder / MANIFEST).is_file() and (given.is_dir() or given.name == WEIGHTS):
        return _of_model(open_model(folder))
    weights = folder / WEIGHTS if given.is_dir() and (folder / WEIGHTS).is_file() else given
    labels = folder / LABELS if (folder / LABELS).is_file() else None
    return WeightsSource(weights, read_input(weights) if weights.is_file() else None, labels)


def _of_model(model: Model) -> WeightsSource:
    if len(model.manifest.members) > 1:
        raise ModelError(f"{model.folder}: is an ensemble; give one of the model folders that it was made of")
    (member,) = model.manifest.members
    manifest, folder = model.manifest, model.folder
    return WeightsSource(folder / member.weights, manifest.input, folder / LABELS, manifest.background)
