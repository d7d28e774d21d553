"""A model folder and its manifest, which holds everything that the host must know about the model.

    model/
    ├── manifest.json        the manifest, with the hash of itself and of every other file
    ├── labels.txt           one label per line, UTF-8, in the order of the logits
    ├── golden.npz           a clip (uint8 [T, 5, H, W, 3], RGB) and PyTorch's logits for it (float32 [classes])
    ├── weights.safetensors  full precision, for parity and fine-tuning
    ├── fp32/encoder.xml .bin, head.xml .bin      OpenVINO IR per precision (bf16 uses the graphs of fp32)
    ├── onnx/, cuda-fp32/    the same two graphs as ONNX, or as a PyTorch program per precision; optional
    └── parity.json .html    reports of `edge-tdn-export parity`; the host reads the figures in the manifest

An ensemble has several networks, each in a subfolder of its own; their logits are added.

Opening a folder checks the size and SHA-256 of every listed file before any of them is parsed. `Model.read` checks
again and returns the bytes that were hashed, so that a file which changes in between is never used.
"""

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_tdn.errors import ModelError
from edge_tdn.foreign_file import HEAD_BYTES, failed_copy
from edge_tdn.label_file import check_labels, parse_labels
from edge_tdn.messages import FRAMES_PER_SEGMENT, ModelRef
from edge_tdn.permission import SERVED_MODELS, remedy
from edge_tdn.spelling import hint
from edge_tdn.verified_file import FileRecord, Sha256, read_regular, read_verified, record_of, verify_file

MANIFEST = "manifest.json"
LABELS = "labels.txt"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.npz"
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels in 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)
WORST_GOLDEN_ERROR = 0.5  # relative to the largest logit; a larger error means that the build is broken
NEW_PATH = "give the path of a model folder"
CREATE = "give a model folder, as `edge-tdn-export convert` creates it, or copy it again"
UNSEALED = "0" * 64  # stands for the manifest's digest while that is computed
ID_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Part):
    """The input of a model, to which every live stream is converted.

    A tick is one frame at `frame_rate`. A segment is five consecutive ticks; a clip is T segments.
    """

    segments: int = Field(ge=2, le=64, description="T")
    frames_per_segment: Literal[5] = 5
    height: int = Field(ge=32, le=1024, description="pixels")
    width: int = Field(ge=32, le=1024, description="pixels")
    resize: Literal["stretch", "short_side_centre_crop"]
    short_side: int = Field(default=0, ge=0, le=2048, description="pixels, before the crop; 0 with `stretch`")
    frame_rate: float = Field(ge=1, le=240, description="frames per second that the model was trained with")
    segment_stride: int = Field(ge=1, le=1000, description="ticks from one segment's start to the next one's")
    mean: tuple[float, float, float] = IMAGENET_MEAN  # RGB, of pixels in 0..1; part of the encoder's graph
    std: tuple[float, float, float] = IMAGENET_STD  # likewise
    per_segment: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        default=(1,), min_length=1, description="for an ensemble: number of segments of each network in one segment"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.resize == "short_side_centre_crop" and self.short_side < max(self.height, self.width):
            raise ValueError(f"short_side {self.short_side} is smaller than the crop {self.height}x{self.width}")
        for n in self.per_segment:
            if self.segment_stride % n:
                raise ValueError(f"segment_stride {self.segment_stride} is not a multiple of per_segment {n}")
        return self

    @property
    def ticks(self) -> int:
        """The ticks that a clip spans, from its first to its last."""
        return (self.segments - 1) * self.segment_stride + self.span

    @property
    def first_clip_ticks(self) -> int:
        """The ticks from the first frame of a run to the end of its first clip; a shorter run has no clip."""
        return min(self.starts) + self.ticks

    def needed_s(self, clips: int = 1) -> float:
        """Return the seconds of unbroken video, rounded up to tenths, that give so many clips, one per segment."""
        ticks = self.first_clip_ticks + (clips - 1) * self.segment_stride
        return math.ceil(round(10 * ticks / self.frame_rate, 6)) / 10

    @property
    def video_frames(self) -> int:
        """The ticks of a video that is one clip: there the published sampling and window.py take the same frames."""
        return self.segments * self.segment_stride + FRAMES_PER_SEGMENT - 1

    @property
    def segment_s(self) -> float:
        """The seconds from one segment's start to the next one's."""
        return self.segment_stride / self.frame_rate

    @property
    def span(self) -> int:
        """The ticks that one segment spans, from its first to its last; more than five for an ensemble."""
        return max(self.starts) - min(self.starts) + FRAMES_PER_SEGMENT

    @property
    def frames(self) -> int:
        """The number of frames in one segment: five for every segment of every network."""
        return FRAMES_PER_SEGMENT * sum(self.per_segment)

    @property
    def starts(self) -> tuple[int, ...]:
        """The first tick of each network's segments within the first `segment_stride` ticks, network after network."""
        strides = [(n, self.segment_stride // n) for n in self.per_segment]
        return tuple(stride // 2 + k * stride for n, stride in strides for k in range(n))

    @property
    def grid(self) -> NDArray[np.int64]:
        """The ticks of each segment of a clip, int64 [T, frames], counted from the clip's first tick."""
        within = np.concatenate([start + np.arange(FRAMES_PER_SEGMENT) for start in self.starts]) - min(self.starts)
        ticks: NDArray[np.int64] = np.arange(self.segments)[:, None] * self.segment_stride + within
        return ticks

    def of(self, member: int) -> "InputSpec":
        """Return the input of one network of an ensemble."""
        n = self.per_segment[member]
        return self.model_copy(
            update={"segments": self.segments * n, "segment_stride": self.segment_stride // n, "per_segment": (1,)}
        )


class Member(_Part):
    """One network of the folder, in full precision, for the exporter and the trainer."""

    network: dict[str, str | int | float | bool | tuple[int, ...]] = Field(
        description="options of the network, see TDNConfig"
    )
    weights: str
    source: dict[str, str] = Field(description="name and sha256 of the checkpoint")


class Graphs(_Part):
    """The two graphs of one network in one precision, and the features that pass between them."""

    encoder: str
    head: str
    features: dict[str, tuple[int, ...]] = Field(description="name -> shape for one segment, channels last: [H, W, C]")
    scales: dict[str, float] = Field(default={}, description="name -> value of one step, for features in 8 bits")


class Build(_Part):
    """The networks of the folder in one precision."""

    format: Literal["openvino", "onnx", "torch"]
    graphs: tuple[Graphs, ...] = Field(min_length=1, description="one per network")
    golden_error: float | None = Field(
        ge=0,
        le=WORST_GOLDEN_ERROR,
        allow_inf_nan=False,
        description="largest logit difference from PyTorch on the golden clip / largest logit; null: not measured",
    )
    calibrated_on: tuple[str, ...] = Field(default=(), description="videos that INT8 was calibrated on")
    calibrated_sha256: tuple[Sha256, ...] = Field(
        default=(), description="hashes of the content of these videos; older manifests have none"
    )


class Parity(_Part):
    """The comparison of a precision with PyTorch on other clips than the golden one (`edge-tdn-export parity`)."""

    clips: int = Field(ge=1)
    recordings: int | None = Field(
        default=None,
        ge=0,
        description="held-out ones, of which the clips are; null: not recorded (older manifests)",
    )
    device: str = Field(description="device of the comparison; another one may compute differently")
    max_logit_error: float | None = Field(
        ge=0, allow_inf_nan=False, description="largest logit difference / largest logit; null: not finite"
    )
    top1_agreement: float = Field(ge=0, le=1, description="share of the clips with the same top label")
    mean_kl: float | None = Field(
        ge=0, allow_inf_nan=False, description="Kullback-Leibler divergence KL(PyTorch || this), nats; null: not finite"
    )
    same_events: bool = Field(description="both gave the same event log for every recording")
    differing: int = Field(default=0, ge=0, description="recordings with another event log")
    within_limits: bool = Field(
        validation_alias=AliasChoices("within_limits", "proven"),  # as older manifests have it
        description="within the limits of `edge-tdn-export parity`; see edge_tdn.verdict",
    )
    checked_at: str = Field(description="ISO 8601, UTC")


class Manifest(_Part):
    schema_: Literal[1] = Field(default=1, alias="schema")
    digest: Sha256 = Field(description="SHA-256 of this file with 64 zeros in place of the digest")
    id: str = Field(pattern=ID_PATTERN)
    input: InputSpec
    members: tuple[Member, ...] = Field(min_length=1)
    classes: int = Field(ge=1)
    labels_sha256: Sha256
    background: tuple[str, ...] = Field(default=(), description="labels that are never reported")
    precisions: dict[str, Build] = Field(min_length=1)
    parity: dict[str, Parity] = Field(default={}, description="by precision; a missing one was never compared")
    tools: dict[str, str] = Field(description="versions of the tools that wrote this folder")
    files: dict[str, FileRecord]

    @model_validator(mode="after")
    def _one_graph_for_each_network(self) -> Self:
        counts = {len(self.members), len(self.input.per_segment), *(len(b.graphs) for b in self.precisions.values())}
        if len(counts) > 1:
            raise ValueError("members, input.per_segment and the graphs of each precision differ in number")
        return self


class Model:
    """An opened and verified model folder. Immutable; may be used by any thread."""

    def __init__(self, folder: Path, manifest: Manifest, sha256: str, labels: tuple[str, ...]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.sha256 = sha256  # of manifest.json, which holds the hashes of all other files
        self.labels = labels

    def read(self, name: str) -> bytes:
        """Return the verified content of a listed file."""
        return read_verified(_inside(self.folder, name), self.record(name))

    def record(self, name: str) -> FileRecord:
        """Return a file's size and hash. ModelError: the manifest does not list it."""
        record = self.manifest.files.get(name)
        if record is None:
            raise ModelError(f"{self.folder / MANIFEST}: {name} is not listed under `files`; export the model again")
        return record

    def build(self, precision: str) -> Build:
        """Return the networks in a precision. ModelError: the folder lacks it; the message lists those that it has."""
        try:
            return self.manifest.precisions[precision]
        except KeyError:
            has = ", ".join(self.manifest.precisions)
            raise ModelError(f"{self.folder}: no precision {precision!r}; this model has: {has}") from None

    def ref(self, precision: str) -> ModelRef:
        return ModelRef(id=self.manifest.id, precision=precision, sha256=self.sha256)


def shipped_models() -> Path:
    """Return the folder of the models that come with the package."""
    return Path(str(resources.files("edge_tdn") / "models"))


def model_id(name: str) -> str:
    """Return an id, as ID_PATTERN requires it, that resembles a name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub("[^A-Za-z0-9._-]+", "-", plain).strip("-.")[:64] or "model"


def find_model(name: str, base: Path) -> Path:
    """Return the folder of a model that is given as a path, relative to `base`, or as the name of a shipped model."""
    try:
        folder = base / Path(name).expanduser()
    except RuntimeError as error:
        raise ModelError(f"model {name!r}: {error}; {NEW_PATH}") from error
    shipped = shipped_models() / name
    if os.sep in name or _has_manifest(folder) or not _has_manifest(shipped):
        return folder
    return shipped


def _has_manifest(folder: Path) -> bool:
    return os.path.isfile(folder / MANIFEST)  # noqa: PTH113  (False, too, where this user may not look)


def not_a_folder(folder: Path) -> str:
    """Return why a path is not a folder, the nearest model and what to do; empty: it is one."""
    try:
        if folder.is_dir():
            return ""
    except OSError as error:
        return f"{error.strerror}; {remedy(folder, SERVED_MODELS) if isinstance(error, PermissionError) else NEW_PATH}"
    if folder.is_file():
        return "is a file, not a model folder; create one with `edge-tdn-export convert`"
    beside = {path.parent.name for parent in (folder.parent, shipped_models()) for path in parent.glob(f"*/{MANIFEST}")}
    near = hint(folder.name, sorted(beside))
    return f"no such model folder; {f'{near} ' if near else ''}create one with `edge-tdn-export convert`"


def open_model(folder: Path) -> Model:
    """Open a model folder and verify every file in it. ModelError: a file is missing, changed or invalid."""
    path = folder / MANIFEST
    if reason := not_a_folder(folder):
        raise ModelError(f"{folder}: {reason}")
    if not path.exists() and not path.is_symlink():
        raise ModelError(f"{folder}: not a model folder: it has no {MANIFEST}; {CREATE}")
    raw = read_regular(path)
    try:
        manifest = Manifest.model_validate_json(raw, strict=False)
    except ValidationError as error:
        if reason := failed_copy(raw[:HEAD_BYTES]):
            raise ModelError(f"{path}: {reason}") from error
        first = error.errors()[0]
        key = ".".join(str(k) for k in first["loc"]) or "not a manifest"
        raise ModelError(f"{path}: {key}: {first['msg']}; export the model again") from error
    unsealed = raw.replace(manifest.digest.encode(), UNSEALED.encode(), 1)
    if hashlib.sha256(unsealed).hexdigest() != manifest.digest:
        raise ModelError(f"{path}: content changed since export (digest differs); copy or export the model again")
    for name, record in manifest.files.items():
        verify_file(_inside(folder, name), record)
    return Model(folder, manifest, hashlib.sha256(raw).hexdigest(), _labels(folder / LABELS, manifest))


def _labels(path: Path, manifest: Manifest) -> tuple[str, ...]:
    raw = read_regular(path)
    if hashlib.sha256(raw).hexdigest() != manifest.labels_sha256:
        raise ModelError(
            f"{path}: not the labels of the manifest (labels_sha256 differs); copy or export the model again"
        )
    labels = parse_labels(path, raw)
    check_labels(path, labels, manifest.classes, manifest.background)
    return labels


def records(folder: Path, names: Sequence[str]) -> dict[str, FileRecord]:
    """Return size and hash of files in a folder, for a manifest."""
    return {name: record_of(folder / name) for name in names}


def seal(manifest: Manifest) -> Manifest:
    """Return the manifest with its own digest, ready for `dump`."""
    unsealed = dump(manifest.model_copy(update={"digest": UNSEALED}))
    return manifest.model_copy(update={"digest": hashlib.sha256(unsealed).hexdigest()})


def dump(manifest: Manifest) -> bytes:
    """Return the content of manifest.json."""
    return (json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n").encode()


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelError(f"{folder / MANIFEST}: {name!r} is outside the model folder; export the model again")
    return folder / name
