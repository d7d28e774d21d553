"""Read the content of a checkpoint file as data. No code in it is run, and its format is detected, not believed.

Pickles of PyTorch, zipped or not, and safetensors are read. Everything else is an error that describes the file.
"""

import json
import pickle
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from edge_tdn.errors import ModelError
from edge_tdn.foreign_file import HEAD_BYTES, failed_copy, other_format
from edge_tdn.manifest import MANIFEST, InputSpec

METADATA = "tdn"  # metadata key of our own safetensors: their TDNConfig as JSON ...
INPUT = "input"  # ... and in it their InputSpec
WEIGHT_FILES = re.compile(r"\.(pth|pt|ckpt|bin|tar|pkl|safetensors)$")
ADVICE = re.compile(r"(?i)weights.only|torch\.load|trust|documentation|github|https?:|operand")
MAX_NAMES = 3  # of an archive, or of a folder, in a message
SAVE_WEIGHTS = "in the program that wrote it, save the weights alone: torch.save(model.state_dict(), 'weights.pth')"

# Classes that trainers save beside the weights. Each is replaced with a StandIn, so that none of their code runs.
HARMLESS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "builtins.frozenset",
    "builtins.slice",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "torch.torch_version.TorchVersion",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",  # as Python 3.13 writes them
    "pathlib._local.WindowsPath",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
)


class StandIn:
    """A replacement for a harmless object, which keeps its state and runs nothing."""

    content: object = None

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        self.content = state


def read_content(path: Path) -> tuple[Any, Any]:
    """Return what a checkpoint file holds, and the JSON in the metadata of our own files. ModelError: not readable."""
    if path.is_dir():
        raise ModelError(f"{path}: {_folder(path)}")
    if not path.is_file():
        raise ModelError(f"{path}: {'not a regular file' if path.exists() else 'no such checkpoint'}; name a file")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if reason := failed_copy(head):
            raise ModelError(f"{path}: {reason}")
        if head[4:9] == b"\0\0\0\0{":  # a header of less than 4 GB, in JSON
            return _read_safetensors(path)
        if reason := other_format(head) or _archive(path, head):
            raise ModelError(f"{path}: {reason}")
        if not head.startswith((b"PK\x03\x04", b"\x80")):
            raise ModelError(f"{path}: not a checkpoint: neither a file of torch.save nor safetensors")
        return _unpickle(path), None
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes torch's own code raise almost anything
        raise _damaged(path, error) from error


def read_input(path: Path) -> InputSpec | None:
    """Return the input that our own safetensors state; None: another file. ModelError: damaged, or no valid input."""
    with path.open("rb") as file:
        if file.read(9)[4:] != b"\0\0\0\0{":
            return None
    try:
        with safe_open(path, "pt") as opened:
            stored = _metadata(opened).get(INPUT)
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error
    try:
        return None if stored is None else InputSpec.model_validate_json(json.dumps(stored))
    except ValueError as error:
        raise ModelError(
            f"{path}: metadata {INPUT!r} is not an input{_reason(error)}; train or convert again"
        ) from error


def _folder(path: Path) -> str:
    """Describe a folder in place of a checkpoint."""
    if (path / MANIFEST).is_file():
        return "is a model folder, not a checkpoint: it is converted already"
    if (path / "data.pkl").is_file() or (path / "archive/data.pkl").is_file():
        return "is an unpacked checkpoint; download it again, and do not unpack it"
    inside = sorted(file.name for file in path.iterdir() if WEIGHT_FILES.search(file.name))
    return f"is a folder; give a checkpoint{_listed(inside, ' in it, such as')}"


def _archive(path: Path, head: bytes) -> str:
    """Describe an archive that is not a checkpoint; empty: it is one, or no archive."""
    if head[257:262] == b"ustar":
        with tarfile.open(path) as packed:
            return f"is a tar archive; unpack it, and give the checkpoint{_listed(packed.getnames(), ': it holds')}"
    if not head.startswith(b"PK\x03\x04"):
        return ""
    if not zipfile.is_zipfile(path):
        return f"is incomplete: {path.stat().st_size} bytes, and the end of the archive is missing; download it again"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends and any("/code/" in name for name in names):
        return f"is a TorchScript program, not weights; {SAVE_WEIGHTS}"
    if "archive_format" in ends or "serialized_exported_program.json" in ends:
        return f"is an exported PyTorch program (.pt2), not weights; {SAVE_WEIGHTS}"
    if "data.pkl" in ends:
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return "is a NumPy archive (.npz), not a checkpoint; give PyTorch weights"
    return f"is a zip archive; unpack it, and give the checkpoint{_listed(names, ': it holds')}"


def _listed(names: Sequence[str], before: str) -> str:
    more = ", ..." if len(names) > MAX_NAMES else ""
    return f"{before} {', '.join(map(repr, names[:MAX_NAMES]))}{more}" if names else ""


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: damaged or incomplete{_reason(error)}; download or copy it again")


def _reason(error: Exception) -> str:
    """Return the library's reason in brackets; empty if that is advice on how to load the file in PyTorch."""
    found = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    reason = found[1] if found else (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "" if ADVICE.search(reason) else f" ({reason[:200]})"


def _read_safetensors(path: Path) -> tuple[Any, Any]:
    with safe_open(path, "pt") as file:
        stored = _metadata(file)
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    stored.pop(INPUT, None)
    return state, stored


def _metadata(file: Any) -> dict[str, Any]:
    """Return what our own safetensors state about themselves; empty for others'."""
    stored = json.loads((file.metadata() or {}).get(METADATA, "{}"))
    if not isinstance(stored, dict):
        raise ValueError(f"metadata {METADATA!r} is not a JSON object")
    return stored


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file, torch.serialization.safe_globals([(StandIn, name) for name in HARMLESS]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if not found:
            raise
        name = found[1] if "." in found[1] else f"builtins.{found[1]}"  # omitted by torch
        if _holds_module(path):
            raise ModelError(f"{path}: holds a whole module ({name}), which is code; {SAVE_WEIGHTS}") from error
        raise ModelError(f"{path}: refused: loading it would run code: it calls {name}; {SAVE_WEIGHTS}") from error


def _holds_module(path: Path) -> bool:
    """Check a pickle for the attributes that every `torch.nn.Module` has."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            raw = b"".join(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    else:
        raw = path.read_bytes()
    return all(name in raw for name in (b"_parameters", b"_buffers", b"_modules"))
