"""A TDN -> a model folder: PyTorch -> ONNX -> OpenVINO IR, two graphs, and everything the host must know about them."""

import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from edge_tdn import __version__
from edge_tdn.errors import ModelError
from edge_tdn.manifest import (
    GOLDEN,
    ID_PATTERN,
    LABELS,
    MANIFEST,
    WEIGHTS,
    Graphs,
    InputSpec,
    Manifest,
    Parity,
    check_labels,
    dump,
    open_model,
    records,
)
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.runtime import open_runtime
from export.tdn import TDN, ClipHead, SegmentEncoder, normalise

OPSET = 18
PARITY_LIMIT = 1e-4  # of the largest logit, FP32
STEPS = 5  # that `convert` reports

Step = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint does not say about itself."""

    id: str
    labels: Path
    input: InputSpec
    background: tuple[str, ...] = ()
    source: tuple[tuple[str, str], ...] = ()  # name and sha256 of the checkpoint


def convert(model: TDN, recipe: Recipe, out: Path, step: Step = lambda _: None) -> Manifest:
    """Writes the model folder `out`, whole or not at all, and proves it on its golden clip.

    ModelError: `out` exists, labels do not fit, or the exported graphs differ from PyTorch by more than PARITY_LIMIT.
    """
    if out.exists():
        raise ModelError(f"{out}: exists already; name another folder or remove it")
    if not re.fullmatch(ID_PATTERN, recipe.id):
        raise ModelError(f"id {recipe.id!r}: letters, digits, dot, dash and underscore, at most 64; see --id")
    try:
        raw_labels = recipe.labels.read_bytes()
    except OSError as error:
        raise ModelError(f"{recipe.labels}: {error.strerror}") from error
    labels = check_labels(recipe.labels, raw_labels, model.config.classes, recipe.background)
    if recipe.input.segments != model.config.segments:
        raise ModelError(f"the input has {recipe.input.segments} segments, the network {model.config.segments}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise ModelError(f"{out.parent}: {error.strerror}; name a folder that can be written to") from error
    try:
        (scratch / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        manifest = _fill(model.eval(), recipe, scratch, step)
        scratch.chmod(0o755)
        scratch.rename(out)
    except (OSError, RuntimeError) as error:  # OpenVINO and safetensors tell a full disk as RuntimeError
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ModelError(f"{out}: {reason[0]}; nothing written; is the disk full?") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _fill(model: TDN, recipe: Recipe, folder: Path, step: Step) -> Manifest:
    step("weights and golden clip")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it private
    clip = moving_grating(recipe.input)
    logits = whole(model, clip, recipe.input)
    np.savez_compressed(folder / GOLDEN, clip=clip, logits=logits)

    (folder / "fp32").mkdir()
    graphs = Graphs(encoder="fp32/encoder.xml", head="fp32/head.xml", features=_feature_shapes(model, recipe.input))
    example = torch.zeros(1, FRAMES_PER_SEGMENT, recipe.input.height, recipe.input.width, 3, dtype=torch.uint8)
    features = tuple(torch.zeros(recipe.input.segments, *shape) for shape in graphs.features.values())
    names = list(graphs.features)
    with tempfile.TemporaryDirectory() as room:
        step("segment encoder: PyTorch -> ONNX -> OpenVINO IR")
        to_onnx(_Encoder(model.encoder, recipe.input), (example,), ["frames"], names, Path(room) / "encoder.onnx")
        to_ir(Path(room) / "encoder.onnx", folder / graphs.encoder)
        step("clip head: PyTorch -> ONNX -> OpenVINO IR")
        to_onnx(_Head(model.head), features, names, ["logits"], Path(room) / "head.onnx")
        to_ir(Path(room) / "head.onnx", folder / graphs.head)

    step("hashes and manifest")
    weights = [Path(name).with_suffix(".bin").as_posix() for name in (graphs.encoder, graphs.head)]
    files = records(folder, [LABELS, WEIGHTS, GOLDEN, graphs.encoder, graphs.head, *weights])
    manifest = Manifest(
        id=recipe.id,
        network=model.config.as_dict(),
        input=recipe.input,
        classes=model.config.classes,
        labels_sha256=files[LABELS].sha256,
        background=recipe.background,
        precisions={"fp32": graphs},
        parity={},
        source=dict(recipe.source),
        tools={
            "edge-tdn": __version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "openvino": ov.get_version().split("-")[0],
        },
        files=files,
    )
    (folder / MANIFEST).write_bytes(dump(manifest))
    step("comparing the exported graphs with PyTorch")
    manifest = manifest.model_copy(update={"parity": {"fp32": _compare(folder, clip, logits)}})
    (folder / MANIFEST).write_bytes(dump(manifest))
    return manifest


def whole(model: TDN, clip: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """The full-precision network on one clip: uint8 [T, 5, H, W, 3] -> logits float32 [classes]."""
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(clip), spec.mean, spec.std)  # [T, 5, 3, H, W]
        logits: NDArray[np.float32] = model(pixels[None])[0].numpy()
    return logits


def to_onnx(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str], path: Path) -> None:
    """PyTorch -> ONNX, static shapes, checked with onnx's own checker."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            str(path),
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    onnx.checker.check_model(str(path), full_check=True)


def to_ir(source: Path, path: Path) -> None:
    """ONNX -> OpenVINO IR with full-precision weights."""
    ov.save_model(ov.convert_model(source), path, compress_to_fp16=False)


def moving_grating(spec: InputSpec) -> NDArray[np.uint8]:
    """A clip that no dataset holds: three gratings that travel, one a colour. uint8 [T, 5, H, W, 3]."""
    y, x = np.mgrid[0 : spec.height, 0 : spec.width] / max(spec.height, spec.width)
    starts = np.arange(spec.segments)[:, None] * spec.segment_stride + np.arange(FRAMES_PER_SEGMENT)
    tick = starts[..., None, None]  # [T, 5, 1, 1]
    waves = [np.sin(2 * np.pi * (3 * x + (c + 1) * y) + 0.35 * (c + 1) * tick) for c in range(3)]
    return np.rint(127.5 + 90 * np.stack(waves, -1)).astype(np.uint8)


def _compare(folder: Path, clip: NDArray[np.uint8], logits: NDArray[np.float32]) -> Parity:
    """The folder as a host would open it, on the golden clip."""
    runtime = open_runtime(open_model(folder))
    ring = runtime.ring()
    for frames in clip:
        runtime.encode(frames, ring)
    error = float(np.max(np.abs(runtime.classify(ring) - logits)))
    runtime.close()
    largest = float(np.max(np.abs(logits)))
    if not error <= PARITY_LIMIT * largest:
        allowed = PARITY_LIMIT * largest
        raise ModelError(f"the export differs from PyTorch by {error:.3g}, allowed {allowed:.3g}; nothing written")
    return Parity(max_abs_logit_error=error, largest_logit=largest)


def _feature_shapes(model: TDN, spec: InputSpec) -> dict[str, tuple[int, ...]]:
    with torch.inference_mode():
        features = model.encoder(torch.zeros(1, FRAMES_PER_SEGMENT, 3, spec.height, spec.width))
    return {name: tuple(tensor.shape[1:]) for name, tensor in zip(("h", "skip"), features, strict=True)}


class _Encoder(nn.Module):
    """uint8 [1, 5, H, W, 3] -> h, skip: normalisation is part of the graph."""

    def __init__(self, encoder: SegmentEncoder, spec: InputSpec) -> None:
        super().__init__()
        self.encoder = encoder
        self._mean, self._std = spec.mean, spec.std

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        h, skip = self.encoder(normalise(frames, self._mean, self._std))
        return h, skip


class _Head(nn.Module):
    """h, skip of the T segments of one clip -> logits [1, classes]."""

    def __init__(self, head: ClipHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, h: Tensor, skip: Tensor) -> Tensor:
        logits: Tensor = self.head(h, skip)
        return logits
