"""The folder of a training: its results, and everything that is needed to resume it.

    runs/NAME/
    ├── run.json              configuration, versions, seed, data and initial weights: what fixes the result
    ├── labels.txt            one label per line
    ├── metrics.jsonl         one line an epoch
    ├── curves.png            the metrics as a picture
    ├── weights.safetensors   after the last epoch, or of the best; `edge-tdn-export convert` takes it
    └── checkpoint.pt         weights and state of the optimiser, to resume from

Every file is replaced as a whole. The checkpoint is written last: what the other files contain beyond it is written
again when the run is resumed.
"""

import io
import json
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.network import checkpoint, source
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from safetensors.torch import save
from torch import Tensor

from edge_tdn import __version__
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import LABELS, WEIGHTS, InputSpec
from edge_tdn.segments.resize import VECTORS
from edge_tdn_training.loop.metrics import Metrics, curves

RUN = source.RUN
METRICS = "metrics.jsonl"
CURVES = "curves.png"
CHECKPOINT = "checkpoint.pt"
LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pillow", *(("cykooz-resizer",) if VECTORS else ()))
ESCAPED = "backslashreplace"  # names of files that are not UTF-8 are escapes in JSON
NOT_COMPARED = ("from", "notes", "skipped", "device", "processes", "micro_batch")  # for people; hashes are compared
REDRAW_S = 10.0  # drawing the curves takes longer than an epoch of few clips


class RunFolder:
    """An opened run. Only the process with `writes` changes the folder. It is used by one thread."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], labels: Sequence[str], writes: bool = True) -> None:
        """Create the folder, or open it to resume the run in it.

        `identity`: what fixes the result, as JSON. ConfigError: the folder contains another run, or something else.
        """
        self.folder = folder
        self._writes = writes
        self._drawn = -REDRAW_S
        self._input = InputSpec.model_validate(identity["input"]) if "input" in identity else None
        identity = json.loads(json.dumps(identity))
        if (folder / RUN).is_file():
            self._compare(identity)
            if writes and not (folder / CHECKPOINT).exists():  # no epoch is done: the run starts now
                self._create(identity, labels)
        elif not writes:
            raise ConfigError(f"{folder}: does not exist; all machines of a training need the same folder")
        elif folder.exists() and not _is_new(folder):
            raise ConfigError(f"{folder}: exists already and is not a run; choose another folder with --out")
        else:
            self._create(identity, labels)

    def _compare(self, identity: Mapping[str, Any]) -> None:
        try:
            recorded = json.loads((self.folder / RUN).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.folder / RUN}: cannot be read: {error}") from error
        before, now = _flat(recorded if isinstance(recorded, dict) else {}), _flat(identity)
        before = _flat({"network": TDNConfig().as_dict()}) | before  # of options that an older version does not have
        for key, value in now.items():
            if before.get(key) != value and key.rpartition(".")[2] not in NOT_COMPARED:
                raise ConfigError(
                    f"{self.folder}: this run was started with {key} = {before.get(key)!r}, now it is {value!r}; "
                    f"choose another folder with --out, or remove this one"
                )

    def _create(self, identity: Mapping[str, Any], labels: Sequence[str]) -> None:
        made: dict[str, Any] = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"edge-tdn": __version__, "python": platform.python_version()}
            | {name: version(name) for name in LIBRARIES},
        }
        content = json.dumps({**made, **identity}, indent=1, ensure_ascii=False) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder}: {error.strerror}; choose another folder with --out") from error
        write_at_once(self.folder / RUN, content.encode(errors=ESCAPED))  # first: by it the folder is known as a run
        write_at_once(self.folder / LABELS, "".join(f"{label}\n" for label in labels).encode())

    def restore(self, model: TDN, optimiser: torch.optim.Optimizer) -> list[Metrics]:
        """Load the checkpoint into model and optimiser; return the metrics of the epochs so far, none in a new run.

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
            raise ConfigError(f"{path}: damaged; remove it to start this run again") from error

    def save_epoch(
        self, model: TDN, optimiser: torch.optim.Optimizer, metrics: Sequence[Metrics], save_weights: bool = True
    ) -> None:
        """Write the state after an epoch. `save_weights`: its weights become those of the run.

        ModelError: the disk is full; the checkpoint is then unchanged.
        """
        if not self._writes:
            return
        weights: dict[str, Tensor] = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
        network = checkpoint.metadata(model.config, self._input)
        lines = "".join(json.dumps(epoch) + "\n" for epoch in metrics)
        state = {"model": weights, "optimiser": optimiser.state_dict(), "metrics": list(metrics)}
        torch.save(state, buffer := io.BytesIO())
        write_at_once(self.folder / METRICS, lines.encode())
        if time.monotonic() - self._drawn > REDRAW_S:
            self.draw(metrics)
        if save_weights:
            write_at_once(self.folder / WEIGHTS, save(weights, network))
        write_at_once(self.folder / CHECKPOINT, buffer.getvalue())

    def load_weights(self, model: TDN) -> None:
        """Load the weights of the run into the model. ConfigError: they are missing or damaged."""
        path = self.folder / WEIGHTS
        try:
            model.load_state_dict(checkpoint.load(path).state_dict())
        except ModelError as error:
            raise ConfigError(
                f"{path}: missing or damaged; to train again, remove {self.folder / CHECKPOINT}"
            ) from error

    def draw(self, metrics: Sequence[Metrics]) -> None:
        """Write the curves so far."""
        if self._writes and metrics:
            write_at_once(self.folder / CURVES, curves(metrics))
            self._drawn = time.monotonic()


def _is_new(folder: Path) -> bool:
    """Return whether a folder is empty, except for the file of a process that was killed when it created the run."""
    return folder.is_dir() and all(path.name.startswith(f".{RUN}-") for path in folder.iterdir())


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a flat table whose keys are the nested keys joined with dots."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
