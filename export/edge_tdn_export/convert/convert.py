"""A TDN -> a model folder: PyTorch -> ONNX -> OpenVINO IR, two graphs, and everything the host must know about them."""

import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import torch
from numpy.typing import NDArray
from openvino._offline_transformations import apply_moc_transformations
from torch import Tensor, nn

from edge_tdn import __version__
from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import assemble, open_runtime
from edge_tdn.inference.openvino import processor_can
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.self_test import golden_error
from edge_tdn.manifest import (
    GOLDEN,
    ID_PATTERN,
    LABELS,
    MANIFEST,
    UNSEALED,
    WEIGHTS,
    WORST_GOLDEN_ERROR,
    Build,
    Graphs,
    InputSpec,
    Manifest,
    Member,
    Model,
    check_labels,
    dump,
    open_model,
    records,
    seal,
)
from edge_tdn.messages import CENTRE, FRAMES_PER_SEGMENT
from edge_tdn_export.convert.cuda import to_program
from edge_tdn_export.convert.model_folder import whole_or_nothing
from edge_tdn_export.convert.node_names import node_names, rename
from edge_tdn_export.convert.onnx_runtime import OnnxRuntime
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN, normalise
from edge_tdn_export.parity.result import limits_of

OPSET = 18
PRECISIONS = ("fp32", "fp16", "bf16", "onnx", "cuda-fp32", "cuda-fp16", "cuda-bf16")  # that `convert` writes
DEFAULT_PRECISIONS = ("fp32", "bf16")
Step = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint does not say about itself."""

    id: str
    labels: Path
    input: InputSpec
    background: tuple[str, ...] = ()
    source: tuple[tuple[str, str], ...] = ()  # name and sha256 of the checkpoint
    precisions: tuple[str, ...] = DEFAULT_PRECISIONS


def steps(precisions: Sequence[str]) -> int:
    """How many steps `convert` reports."""
    return 3 + len(precisions)


def convert(model: TDN, recipe: Recipe, out: Path, step: Step = lambda _: None) -> Manifest:
    """Writes the model folder `out`, whole or not at all, and tries every precision on its golden clip.

    ModelError: `out` exists, labels do not fit, or the exported graphs differ from PyTorch by more than LIMITS.
    """
    check_id(recipe.id)
    if recipe.input.segments != model.config.segments:
        raise ModelError(f"the input has {recipe.input.segments} segments, the network {model.config.segments}")
    try:
        raw_labels = recipe.labels.read_bytes()
    except OSError as error:
        raise ModelError(f"{recipe.labels}: {error.strerror}") from error
    labels = check_labels(recipe.labels, raw_labels, model.config.classes, recipe.background)
    clip = moving_grating(recipe.input)
    logits = _golden_logits(model.eval(), clip, recipe.input)
    with whole_or_nothing(out) as scratch:
        (scratch / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        write_golden(scratch, clip, logits)
        return _fill(model, recipe, scratch, step)


def _golden_logits(model: TDN, clip: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    try:
        return whole(model, clip, spec)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the network cannot take pictures of {spec.height}x{spec.width}: {reason}") from error


def check_id(name: str) -> None:
    """ModelError: no name for a model."""
    if not re.fullmatch(ID_PATTERN, name):
        raise ModelError(f"id {name!r}: letters, digits, dot, dash and underscore, at most 64; see --id")


def _fill(model: TDN, recipe: Recipe, folder: Path, step: Step) -> Manifest:
    spec = recipe.input
    step("weights")
    checkpoint.save(model, folder / WEIGHTS)
    features = _feature_shapes(model, spec)
    graphs = {name: _graphs(_folder_of(name, recipe.precisions), _SUFFIX[_format(name)], features)
              for name in recipe.precisions}  # fmt: skip
    with tempfile.TemporaryDirectory() as room:
        step("PyTorch -> ONNX")
        halves = {"encoder": _encoder_half(model, spec), "head": _head_half(model, spec, features)}
        if any(_format(name) != "torch" for name in recipe.precisions):
            for half, exported in halves.items():
                to_onnx(exported, model, Path(room) / f"{half}.onnx")
        for name in recipe.precisions:
            for half, exported in halves.items():
                target = folder / getattr(graphs[name], half)
                target.parent.mkdir(exist_ok=True)
                if not target.exists():
                    _write(exported, Path(room) / f"{half}.onnx", target, name)
    step("hashes and manifest")
    written = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = records(folder, written)
    manifest = Manifest(
        digest=UNSEALED,
        id=recipe.id,
        input=spec,
        members=(Member(network=model.config.as_dict(), weights=WEIGHTS, source=dict(recipe.source)),),
        classes=model.config.classes,
        labels_sha256=files[LABELS].sha256,
        background=recipe.background,
        precisions={
            name: Build(format=_format(name), graphs=(graphs[name],), golden_error=None) for name in recipe.precisions
        },
        tools=tools(),
        files=files,
    )
    return prove_golden(folder, manifest, recipe.precisions, step)


def prove_golden(folder: Path, manifest: Manifest, precisions: Sequence[str], step: Step) -> Manifest:
    """Runs the golden clip through every precision as a host would, and records how far each is from PyTorch."""
    builds = dict(manifest.precisions)
    (folder / MANIFEST).write_bytes(dump(seal(manifest)))
    model = open_model(folder)
    for name in precisions:
        step(f"{name} against PyTorch, on the golden clip")
        if not runs_here(name):
            continue  # the host's self-test will try it
        runtime = open_any(model, name)
        error = golden_error(model, runtime)
        runtime.close()
        limit = limits_of(name).max_logit_error or WORST_GOLDEN_ERROR
        if not error <= limit:
            raise ModelError(
                f"the export to {name} differs from PyTorch by {error:.3g} of the largest logit, allowed {limit:g}; "
                "nothing written; --precisions can leave it out"
            )
        builds[name] = builds[name].model_copy(update={"golden_error": error})
    manifest = seal(manifest.model_copy(update={"precisions": builds}))
    (folder / MANIFEST).write_bytes(dump(manifest))
    return manifest


def runs_here(name: str) -> bool:
    """Whether this machine has what a precision of a manifest runs on."""
    if name == "onnx":
        return True
    return torch.cuda.is_available() if name.startswith("cuda-") else processor_can(name)


def open_any(model: Model, name: str) -> Runtime:
    """The runtime of one of the manifest's precisions, ONNX Runtime's and CUDA's included. Self-tested but for ONNX."""
    if name == "onnx":
        return assemble(model, model.build(name).graphs, lambda graphs, t: OnnxRuntime(model, graphs, t))
    if name.startswith("cuda-"):
        return open_runtime(model, name.removeprefix("cuda-"), "CUDA")
    return open_runtime(model, name)


def whole(model: TDN, clip: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """The full-precision network on one clip: uint8 [T, 5, H, W, 3] -> logits float32 [classes]."""
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(clip), spec.mean, spec.std)  # [T, 5, 3, H, W]
        logits: NDArray[np.float32] = model(pixels[None])[0].numpy()
    return logits


def to_onnx(half: "Half", network: TDN, path: Path) -> None:
    """PyTorch -> ONNX, nodes named after the network's modules, checked with onnx's own checker."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            half.module,
            half.example,
            input_names=half.inputs,
            output_names=half.outputs,
            dynamic_shapes=half.dynamic,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    exported, traced = program.model_proto, program.exported_program
    assert traced is not None
    rename(exported, node_names(traced.graph, dict(network.named_modules()), ROOT))
    onnx.save(exported, str(path))
    onnx.checker.check_model(str(path), full_check=True)


def to_ir(source: Path, path: Path, half_size: bool) -> None:
    """ONNX -> OpenVINO IR; weights stored in full precision, or `half_size`, in FP16."""
    ov.save_model(read_onnx(source), path, compress_to_fp16=half_size)


def read_onnx(source: Path) -> ov.Model:
    """The steps of `ov.convert_model`, which would report its use to its vendor over the network."""
    graph = ov.Core().read_model(source)
    apply_moc_transformations(graph, cf=False, smart_reshape=True)
    return graph


def moving_grating(spec: InputSpec) -> NDArray[np.uint8]:
    """A clip that no dataset holds: three gratings that travel, one a colour. uint8 [T, frames, H, W, 3]."""
    y, x = np.mgrid[0 : spec.height, 0 : spec.width] / max(spec.height, spec.width)
    tick = spec.grid[..., None, None]  # [T, frames, 1, 1]
    waves = [np.sin(2 * np.pi * (3 * x + (c + 1) * y) + 0.35 * (c + 1) * tick) for c in range(3)]
    return np.rint(127.5 + 90 * np.stack(waves, -1)).astype(np.uint8)


def write_golden(folder: Path, clip: NDArray[np.uint8], logits: NDArray[np.float32]) -> None:
    """The clip that every host tries before it serves, and PyTorch's logits for it."""
    np.savez_compressed(folder / GOLDEN, clip=clip, logits=logits)


def tools() -> dict[str, str]:
    """Versions of what writes a folder."""
    names = ("torch", "onnx", "onnxruntime", "openvino", "nncf")
    return {"edge-tdn": __version__, **{name: version(name) for name in names}}


ROOT = "network"  # what the modules below call the network


class EncoderGraph(nn.Module):
    """uint8 [B, 5, H, W, 3] -> features, channels last: so they lie in compiled graphs, and nothing is reordered.

    Normalisation is part of the graph: of the centre frame, and of the differences, which the mean leaves as they are.
    Differences of grey levels are whole numbers, and so exact in BF16 too.
    """

    def __init__(self, network: TDN, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self._mean, self._std = spec.mean, spec.std

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        centre = normalise(frames[:, CENTRE], self._mean, self._std)
        side_by_side = channels_first(frames.movedim(1, -2).flatten(-2))  # [B, 15, H, W]; bytes move cheaply
        unit = 255 * torch.tensor(self._std * (FRAMES_PER_SEGMENT - 1))[:, None, None]  # [12, 1, 1]
        features = self.network.encode_parts(centre, side_by_side.to(torch.float32), unit)
        return tuple(map(channels_last, features))


class HeadGraph(nn.Module):
    """Features of the T segments of one clip -> logits [1, classes]."""

    def __init__(self, network: TDN) -> None:
        super().__init__()
        self.network = network

    def forward(self, *features: Tensor) -> Tensor:
        return self.network.classify(*map(channels_first, features))


def channels_last(feature: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H, W, C]; what has no height and width stays."""
    return feature.movedim(1, -1)


def channels_first(feature: Tensor) -> Tensor:
    """The reverse."""
    return feature.movedim(-1, 1)


@dataclass(frozen=True, eq=False)
class Half:
    """One of the two graphs, before it is one."""

    module: nn.Module  # in evaluation mode
    example: tuple[Tensor, ...]  # of its inputs
    inputs: Sequence[str]
    outputs: Sequence[str]
    dynamic: Any = None  # what of the inputs' shapes is left open, for torch.export


def _encoder_half(model: TDN, spec: InputSpec) -> Half:
    """Takes any number of segments: said to be one at load, that costs nothing."""
    example = torch.zeros(2, FRAMES_PER_SEGMENT, spec.height, spec.width, 3, dtype=torch.uint8)
    dynamic = {"frames": {0: torch.export.Dim.DYNAMIC}}
    return Half(EncoderGraph(model, spec).eval(), (example,), ["frames"], model.features, dynamic)


def _head_half(model: TDN, spec: InputSpec, features: dict[str, tuple[int, ...]]) -> Half:
    """Takes one clip: with more, its graph needs reshapes that OpenVINO cannot read."""
    example = tuple(torch.zeros(spec.segments, *shape) for shape in features.values())
    return Half(HeadGraph(model).eval(), example, model.features, ["logits"])


def _write(half: Half, source: Path, target: Path, precision: str) -> None:
    if _format(precision) == "onnx":
        shutil.copyfile(source, target)
    elif _format(precision) == "torch":
        to_program(half.module, half.example, half.dynamic is None, precision, target)
    else:
        to_ir(source, target, half_size=target.parent.name == "fp16")


_SUFFIX = {"openvino": ".xml", "onnx": ".onnx", "torch": ".pt2"}


def _format(precision: str) -> str:
    return "onnx" if precision == "onnx" else "torch" if precision.startswith("cuda-") else "openvino"


def _folder_of(precision: str, chosen: Sequence[str]) -> str:
    """Precisions that are only another way to run the same graphs share a folder."""
    if precision == "bf16":
        return "fp16" if "fp16" in chosen and "fp32" not in chosen else "fp32"
    return precision


def _graphs(folder: str, suffix: str, features: dict[str, tuple[int, ...]]) -> Graphs:
    return Graphs(encoder=f"{folder}/encoder{suffix}", head=f"{folder}/head{suffix}", features=features)


def _feature_shapes(model: TDN, spec: InputSpec) -> dict[str, tuple[int, ...]]:
    with torch.inference_mode():
        features = model.encode(torch.zeros(1, FRAMES_PER_SEGMENT, 3, spec.height, spec.width))
    shapes = (tuple(channels_last(feature).shape[1:]) for feature in features)
    return dict(zip(model.features, shapes, strict=True))
