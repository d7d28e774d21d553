"""A model folder's description of itself. Everything the host must know about a model stands here, and nowhere else.

    model/
    ├── manifest.json        this; it knows its own hash, and that of every other file
    ├── labels.txt           one label a line, UTF-8, in the order of the logits
    ├── golden.npz           a clip (uint8 [T, 5, H, W, 3]) and the logits that PyTorch gave for it
    ├── weights.safetensors  full precision, for parity and fine-tuning
    ├── fp32/encoder.xml .bin, head.xml .bin      OpenVINO IR, per precision (bf16 runs the graphs of fp32)
    ├── onnx/, cuda-fp32/    the same two graphs as ONNX, as a PyTorch program per precision, where they were asked for
    └── parity.json .html    reports of `edge-tdn-export parity`, for people: the host reads the figures here

An ensemble has several networks, each in a folder of its own inside; their logits are added.

Opening a folder checks the size and SHA-256 of every listed file before anything is parsed. What was checked is what is
used: `Model.read` gives the bytes that were hashed.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_tdn.errors import ModelError
from edge_tdn.messages import FRAMES_PER_SEGMENT, ModelRef

MANIFEST = "manifest.json"
LABELS = "labels.txt"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.npz"
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels in 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)
WORST_GOLDEN_ERROR = 0.5  # what is further off is no model
LARGEST_FILE = 2 << 30  # bytes
UNSEALED = "0" * 64  # in the place of a manifest's digest, while that is taken
ID_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Part):
    """What a clip is made of. One model, one spec: the live stream is brought to it."""

    segments: int = Field(ge=2, le=64, description="T")
    frames_per_segment: Literal[5] = 5
    height: int = Field(ge=32, le=1024)
    width: int = Field(ge=32, le=1024)
    resize: Literal["stretch", "short_side_centre_crop"]
    short_side: int = Field(default=0, ge=0, le=2048, description="before the crop; 0 with `stretch`")
    frame_rate: float = Field(ge=1, le=240, description="frames a second that the model was trained at")
    segment_stride: int = Field(ge=1, le=1000, description="ticks from one segment's start to the next one's")
    mean: tuple[float, float, float] = IMAGENET_MEAN  # both are part of the encoder's graph
    std: tuple[float, float, float] = IMAGENET_STD
    per_segment: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        default=(1,), min_length=1, description="an ensemble: how many segments of each network fill one of these"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.resize == "short_side_centre_crop" and self.short_side < max(self.height, self.width):
            raise ValueError(f"short_side {self.short_side} is smaller than the crop {self.height}x{self.width}")
        for n in self.per_segment:
            if self.segment_stride % n:
                raise ValueError(f"segment_stride {self.segment_stride} cannot be cut into {n} segments")
        return self

    @property
    def ticks(self) -> int:
        """Frames at `frame_rate` that a clip spans."""
        return (self.segments - 1) * self.segment_stride + self.span

    @property
    def video_frames(self) -> int:
        """Frames at `frame_rate` of a video that is one clip: the published sampling takes what window.py does."""
        return self.segments * self.segment_stride + FRAMES_PER_SEGMENT - 1

    @property
    def segment_s(self) -> float:
        """Seconds from one segment's start to the next one's."""
        return self.segment_stride / self.frame_rate

    @property
    def span(self) -> int:
        """Frames from the first to the last that one segment looks at."""
        return max(self.starts) - min(self.starts) + FRAMES_PER_SEGMENT

    @property
    def frames(self) -> int:
        """Frames that one segment brings to the runtime: five for every segment of every network."""
        return FRAMES_PER_SEGMENT * sum(self.per_segment)

    @property
    def starts(self) -> tuple[int, ...]:
        """First tick of each network's segments within the first `segment_stride` ticks, network after network."""
        strides = [(n, self.segment_stride // n) for n in self.per_segment]
        return tuple(stride // 2 + k * stride for n, stride in strides for k in range(n))

    @property
    def grid(self) -> NDArray[np.int64]:
        """What each segment of a clip looks at, int64 [T, frames]: ticks, counted from the first of them."""
        within = np.concatenate([start + np.arange(FRAMES_PER_SEGMENT) for start in self.starts]) - min(self.starts)
        ticks: NDArray[np.int64] = np.arange(self.segments)[:, None] * self.segment_stride + within
        return ticks

    def of(self, member: int) -> "InputSpec":
        """What one network of an ensemble sees."""
        n = self.per_segment[member]
        return self.model_copy(
            update={"segments": self.segments * n, "segment_stride": self.segment_stride // n, "per_segment": (1,)}
        )


class Member(_Part):
    """One network of the folder, in full precision."""

    network: dict[str, str | int | float | bool | tuple[int, ...]] = Field(description="its options, for `export`")
    weights: str
    source: dict[str, str] = Field(description="checkpoint: name and sha256")


class Graphs(_Part):
    """The two graphs of one network in one precision, and what passes between them."""

    encoder: str
    head: str
    features: dict[str, tuple[int, ...]] = Field(description="name -> shape of one segment's tensor, channels last")
    scales: dict[str, float] = Field(default={}, description="of those that pass in 8 bits: what a step is worth")


class Build(_Part):
    """The folder's networks in one precision."""

    format: Literal["openvino", "onnx", "torch"]
    graphs: tuple[Graphs, ...] = Field(min_length=1, description="one for each network")
    golden_error: float | None = Field(
        ge=0,
        le=WORST_GOLDEN_ERROR,
        allow_inf_nan=False,
        description="on the golden clip: largest logit difference from PyTorch / largest logit; null: not measured",
    )
    calibrated_on: tuple[str, ...] = Field(default=(), description="videos that INT8 was calibrated on")


class FileRecord(_Part):
    size: int = Field(ge=0, le=LARGEST_FILE)
    sha256: Sha256


class Parity(_Part):
    """How a precision compared with PyTorch on clips other than the export's own (`edge-tdn-export parity`)."""

    clips: int = Field(ge=1)
    device: str = Field(description="that it ran on; another one may compute otherwise")
    max_logit_error: float | None = Field(
        ge=0, allow_inf_nan=False, description="largest difference / largest logit; null: not a finite number"
    )
    top1_agreement: float = Field(ge=0, le=1)
    mean_kl: float | None = Field(
        ge=0, allow_inf_nan=False, description="Kullback-Leibler, nats, PyTorch's softmax first; null: not finite"
    )
    same_events: bool = Field(description="the recordings gave the same event log through both")
    proven: bool = Field(description="inside the limits of `edge-tdn-export parity`")
    checked_at: str = Field(description="ISO 8601, UTC")


class Manifest(_Part):
    schema_: Literal[1] = Field(default=1, alias="schema")
    digest: Sha256 = Field(description="SHA-256 of this file's content, with 64 zeros in this place")
    id: str = Field(pattern=ID_PATTERN)
    input: InputSpec
    members: tuple[Member, ...] = Field(min_length=1)
    classes: int = Field(ge=1)
    labels_sha256: Sha256
    background: tuple[str, ...] = Field(default=(), description="labels that mean: nothing to report")
    precisions: dict[str, Build] = Field(min_length=1)
    parity: dict[str, Parity] = Field(default={}, description="per precision; what is missing was never compared")
    tools: dict[str, str] = Field(description="versions that wrote this folder")
    files: dict[str, FileRecord]

    @model_validator(mode="after")
    def _one_graph_for_each_network(self) -> Self:
        counts = {len(self.members), len(self.input.per_segment), *(len(b.graphs) for b in self.precisions.values())}
        if len(counts) > 1:
            raise ValueError("members, input.per_segment and the graphs of every precision are not equally many")
        return self


class Model:
    """An opened and verified model folder."""

    def __init__(self, folder: Path, manifest: Manifest, sha256: str, labels: tuple[str, ...]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.sha256 = sha256  # of manifest.json, and through it of everything
        self.labels = labels

    def read(self, name: str) -> bytes:
        """The content of a listed file, verified."""
        return _read_verified(self.folder, name, self.record(name))

    def record(self, name: str) -> FileRecord:
        """What the manifest says of a file. ModelError: nothing."""
        record = self.manifest.files.get(name)
        if record is None:
            raise ModelError(f"{self.folder / MANIFEST}: {name} is needed but not listed under `files`")
        return record

    def build(self, precision: str) -> Build:
        """The folder's networks in a precision; ModelError names those that it has."""
        try:
            return self.manifest.precisions[precision]
        except KeyError:
            has = ", ".join(self.manifest.precisions)
            raise ModelError(f"{self.folder}: no precision {precision!r}; this model has: {has}") from None

    def ref(self, precision: str) -> ModelRef:
        return ModelRef(id=self.manifest.id, precision=precision, sha256=self.sha256)


def shipped_models() -> Path:
    """Where the models that come with the package are."""
    return Path(str(resources.files("edge_tdn") / "models"))


def find_model(name: str, base: Path) -> Path:
    """A model folder: a path (relative ones from `base`), or the name of a shipped model."""
    try:
        folder = base / Path(name).expanduser()
    except RuntimeError as error:
        raise ModelError(f"model {name!r}: {error}") from error
    shipped = shipped_models() / name
    if (folder / MANIFEST).is_file() or not (shipped / MANIFEST).is_file() or os.sep in name:
        return folder
    return shipped


def open_model(folder: Path) -> Model:
    """Opens a model folder and verifies every file in it. ModelError says what is wrong with which file."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; `edge-tdn-export convert` makes one")
    raw = _read_regular(path)
    try:
        manifest = Manifest.model_validate_json(raw, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(k) for k in first["loc"]) or "the file"
        raise ModelError(f"{path}: {key}: {first['msg']}; export the model again") from error
    unsealed = raw.replace(manifest.digest.encode(), UNSEALED.encode(), 1)
    if hashlib.sha256(unsealed).hexdigest() != manifest.digest:
        raise ModelError(f"{path}: content changed since export (digest differs); copy or export the model again")
    for name, record in manifest.files.items():
        _verify(folder, name, record)
    return Model(folder, manifest, hashlib.sha256(raw).hexdigest(), _labels(folder / LABELS, manifest))


def _labels(path: Path, manifest: Manifest) -> tuple[str, ...]:
    raw = _read_regular(path)
    if hashlib.sha256(raw).hexdigest() != manifest.labels_sha256:
        raise ModelError(f"{path}: not the labels that the manifest names (labels_sha256)")
    return check_labels(path, raw, manifest.classes, manifest.background)


def check_labels(path: Path, raw: bytes, classes: int, background: Sequence[str]) -> tuple[str, ...]:
    """The labels of a file's content. ModelError: they do not fit the network, or `background` does not fit them."""
    labels = parse_labels(path, raw)
    if len(labels) != classes:
        raise ModelError(f"{path}: {len(labels)} labels, but the model has {classes} classes")
    if set(labels) <= set(background):
        raise ModelError(f"{path}: every label is a background label: there is nothing to report")
    unknown = set(background) - set(labels)
    if unknown:
        raise ModelError(f"{path}: background label {sorted(unknown)[0]!r} is not among the labels")
    return labels


def parse_labels(path: Path, raw: bytes) -> tuple[str, ...]:
    """One label a line, UTF-8 with or without a byte order mark; none empty, none twice."""
    try:
        lines = raw.decode("utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    labels: list[str] = []
    for number, line in enumerate(lines, 1):
        label = line.strip()
        if not label:
            raise ModelError(f"{path}:{number}: an empty label")
        if label in labels:
            raise ModelError(f"{path}:{number}: label {label!r} stands here a second time")
        labels.append(label)
    return tuple(labels)


def records(folder: Path, names: Sequence[str]) -> dict[str, FileRecord]:
    """Size and hash of files in a folder, for a manifest."""
    found = {}
    for name in names:
        raw = (folder / name).read_bytes()
        found[name] = FileRecord(size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    return found


def seal(manifest: Manifest) -> Manifest:
    """The manifest with its own digest, as `dump` may write it."""
    unsealed = dump(manifest.model_copy(update={"digest": UNSEALED}))
    return manifest.model_copy(update={"digest": hashlib.sha256(unsealed).hexdigest()})


def dump(manifest: Manifest) -> bytes:
    return (json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n").encode()


def _verify(folder: Path, name: str, record: FileRecord) -> None:
    """Without keeping the content: most of it is not needed, or only later."""
    path = _inside(folder, name)
    with _open_regular(path) as file:
        _compare(path, record, os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _read_verified(folder: Path, name: str, record: FileRecord) -> bytes:
    raw = _read_regular(_inside(folder, name))
    _compare(folder / name, record, len(raw), hashlib.sha256(raw).hexdigest())
    return raw


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelError(f"{folder / MANIFEST}: {name!r} leads out of the model folder")
    return folder / name


def _compare(path: Path, record: FileRecord, size: int, sha256: str) -> None:
    if size != record.size:
        raise ModelError(f"{path}: {size} bytes, the manifest says {record.size}; copy or export the model again")
    if sha256 != record.sha256:
        raise ModelError(f"{path}: content changed since export (sha256 differs); copy or export the model again")


def _read_regular(path: Path) -> bytes:
    with _open_regular(path) as file:
        return file.read()


@contextmanager
def _open_regular(path: Path) -> Iterator[BufferedReader]:
    """A regular file that is no link: a model folder is data, and must not point elsewhere."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe must not keep us waiting
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ModelError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise ModelError(f"{path}: not a regular file of at most {LARGEST_FILE} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)
