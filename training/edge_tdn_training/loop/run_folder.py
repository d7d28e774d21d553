"""A training's folder: everything that came of it, and what it needs to go on after a kill.

    runs/NAME/
    ├── run.json              configuration, versions, seed, data, start: what fixes the result, and where it was made
    ├── labels.txt            one label a line
    ├── metrics.jsonl         one line an epoch
    ├── curves.png            the same as a picture
    ├── weights.safetensors   after the last epoch, or the best; `edge-tdn-export convert` takes it
    └── checkpoint.pt         the optimiser's memory besides, to go on from

Every file is replaced whole. The checkpoint comes last: what the others say beyond it is written again.
"""

import io
import json
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.network.tdn import TDN
from matplotlib import rc_context
from matplotlib.figure import Figure
from safetensors.torch import save
from torch import Tensor

from edge_tdn import __version__
from edge_tdn.errors import ConfigError, ModelError, last_line
from edge_tdn.manifest import LABELS, WEIGHTS, InputSpec
from edge_tdn.segments.resize import VECTORS

RUN = "run.json"
METRICS = "metrics.jsonl"
CURVES = "curves.png"
CHECKPOINT = "checkpoint.pt"
LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pillow", *(("cykooz-resizer",) if VECTORS else ()))
TOLD = ("from", "said", "skipped", "device", "processes", "at_once")  # for people; hashes tell whether it is the same
REDRAW_S = 10.0  # a picture takes longer than an epoch of few clips

Metrics = dict[str, float]  # of one epoch


class Run:
    """An opened folder. `writes`: not in the other processes of the same training."""

    def __init__(self, folder: Path, fixed: Mapping[str, Any], labels: Sequence[str], writes: bool = True) -> None:
        """Begins a run, or goes on with that which was begun there.

        `fixed`: what fixes the result, as JSON. ConfigError: the folder is another run's, or is none.
        """
        self.folder = folder
        self._writes = writes
        self._drawn = -REDRAW_S
        fixed = json.loads(json.dumps(fixed))
        if (folder / RUN).is_file():
            self._compare(fixed)
            if writes and not (folder / CHECKPOINT).exists():  # nothing came of it: what is told is of this time
                self._begin(fixed, labels)
        elif not writes:
            raise ConfigError(f"{folder}: not there; all machines of a training need the same folder")
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder}: is there already, and is no run; name another folder with --out")
        else:
            self._begin(fixed, labels)

    def _compare(self, fixed: Mapping[str, Any]) -> None:
        try:
            begun = json.loads((self.folder / RUN).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.folder / RUN}: cannot be read: {error}") from error
        before, now = _flat(begun if isinstance(begun, dict) else {}), _flat(fixed)
        for key, value in now.items():
            if before.get(key) != value and key.rpartition(".")[2] not in TOLD:
                raise ConfigError(
                    f"{self.folder}: this run was begun with {key} = {before.get(key)!r}, now it is {value!r}; name "
                    f"another folder with --out, or remove this one"
                )

    def _begin(self, fixed: Mapping[str, Any], labels: Sequence[str]) -> None:
        made: dict[str, Any] = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"edge-tdn": __version__, "python": platform.python_version()}
            | {name: version(name) for name in LIBRARIES},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder}: {error.strerror}; name another folder with --out") from error
        write_at_once(self.folder / LABELS, "".join(f"{label}\n" for label in labels).encode())
        write_at_once(self.folder / RUN, (json.dumps({**made, **fixed}, indent=1, ensure_ascii=False) + "\n").encode())

    def restore(self, model: TDN, optimiser: torch.optim.Optimizer) -> list[Metrics]:
        """Takes model and optimiser to where the run got; the metrics of the epochs so far, none at its beginning.

        ConfigError: the checkpoint is damaged.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return []
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            return list(state["metrics"])
        except Exception as error:  # a damaged file makes torch's own code raise almost anything
            raise ConfigError(f"{path}: damaged; remove it to begin this run anew") from error

    def record(
        self, model: TDN, optimiser: torch.optim.Optimizer, metrics: Sequence[Metrics], keeps: bool = True
    ) -> None:  # fmt: skip
        """After an epoch. `keeps`: its weights are the run's. ModelError: no room; the checkpoint is as it was."""
        if not self._writes:
            return
        weights: dict[str, Tensor] = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
        said = {"tdn": json.dumps(model.config.as_dict())}
        lines = "".join(json.dumps(epoch) + "\n" for epoch in metrics)
        state = {"model": weights, "optimiser": optimiser.state_dict(), "metrics": list(metrics)}
        torch.save(state, buffer := io.BytesIO())
        write_at_once(self.folder / METRICS, lines.encode())
        if time.monotonic() - self._drawn > REDRAW_S:
            self.draw(metrics)
        if keeps:
            write_at_once(self.folder / WEIGHTS, save(weights, said))
        write_at_once(self.folder / CHECKPOINT, buffer.getvalue())

    def draw(self, metrics: Sequence[Metrics]) -> None:
        """The curves so far."""
        if self._writes and metrics:
            write_at_once(self.folder / CURVES, curves(metrics))
            self._drawn = time.monotonic()


def input_of_run(folder: Path) -> InputSpec:
    """What the network of a run looks at. ModelError: its run.json is none."""
    try:
        return InputSpec.model_validate(json.loads((folder / RUN).read_bytes())["input"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / RUN}: not what a training writes: {last_line(error)}") from error


def curves(metrics: Sequence[Metrics]) -> bytes:
    """Loss and accuracy over the epochs, a PNG. Dashed: where the learning rate falls."""
    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((9, 3.4))
        figure.subplots_adjust(left=0.07, right=0.98, bottom=0.14, top=0.96, wspace=0.2)
        epochs = [epoch["epoch"] for epoch in metrics]
        style = "o-" if len(metrics) < 30 else "-"
        for axes, key, name in zip(figure.subplots(1, 2), ("loss", "top1"), ("loss, nats", "top-1"), strict=True):
            for prefix, label in (("", "learnt from"), ("held_out_", "held out")):
                own = [(e, m[prefix + key]) for e, m in zip(epochs, metrics, strict=True) if prefix + key in m]
                if own:
                    axes.plot(*zip(*own, strict=True), style, ms=3, label=label)
            for before, after in pairwise(metrics):
                if after["rate"] < before["rate"] / 2:
                    axes.axvline(after["epoch"] - 0.5, color="0.8", lw=0.9, ls="--", zorder=0)
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False, loc="upper right" if key == "loss" else "lower right")
            axes.set_ylim(0, 1 if key == "top1" else None)
        figure.savefig(file := io.BytesIO(), format="png", dpi=130)
    return file.getvalue()


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys, joined with dots."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
