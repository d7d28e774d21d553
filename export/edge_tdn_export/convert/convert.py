"""Convert a TDN to a model folder: PyTorch -> ONNX -> OpenVINO IR, as two graphs with all that the host needs."""

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_tdn import __version__
from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import assemble, open_runtime
from edge_tdn.inference.openvino import processor_can
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.self_test import InexactRuntime, golden_error
from edge_tdn.label_file import check_labels
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
    dump,
    open_model,
    records,
    seal,
)
from edge_tdn_export.convert.cuda import to_program
from edge_tdn_export.convert.graphs import NetworkHalf, encoder_half, feature_shapes, head_half, to_ir, to_onnx
from edge_tdn_export.convert.model_folder import whole_or_nothing
from edge_tdn_export.convert.onnx_runtime import OnnxRuntime
from edge_tdn_export.convert.precisions import DEFAULT_PRECISIONS, SUFFIXES, folder_of, format_of
from edge_tdn_export.limits import limits_of
from edge_tdn_export.lists.labels import read_labels
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN, normalise
from edge_tdn_export.progress import Step


@dataclass(frozen=True)
class Recipe:
    """The properties of a model folder that its checkpoint does not hold."""

    id: str
    labels: Path
    input: InputSpec
    background: tuple[str, ...] = ()
    source: tuple[tuple[str, str], ...] = ()  # name and sha256 of the checkpoint
    precisions: tuple[str, ...] = DEFAULT_PRECISIONS


class InexactExport(ModelError):
    """Raised for precisions whose golden clip exceeds their limits; other precisions may be exact."""

    def __init__(self, errors: Mapping[str, tuple[float, float]]) -> None:
        """`errors`: of each such precision, the largest difference from PyTorch, and the allowed one.

        Both are relative to the largest logit.
        """
        self.precisions = tuple(errors)
        super().__init__(
            "; ".join(
                f"the export to {name} differs from PyTorch by {error:.3g} of the largest logit, allowed {allowed:g}"
                for name, (error, allowed) in errors.items()
            )
        )


def steps(precisions: Sequence[str]) -> int:
    """Return the number of steps that `convert` reports."""
    return 3 + len(precisions)


def convert(model: TDN, recipe: Recipe, out: Path, step: Step = lambda _: None) -> Manifest:
    """Write the model folder `out`, whole or not at all, and test every precision on its golden clip.

    ModelError: `out` exists or labels do not match. InexactExport: a graph differs from PyTorch by more than LIMITS.
    """
    check_id(recipe.id)
    if recipe.input.segments != model.config.segments:
        raise ModelError(f"the input has {recipe.input.segments} segments, the network {model.config.segments}")
    labels = read_labels(recipe.labels).labels
    check_labels(recipe.labels, labels, model.config.classes, recipe.background)
    clip = moving_grating(recipe.input)
    logits = _golden_logits(model.eval(), clip, recipe.input)
    with whole_or_nothing(out) as scratch:
        (scratch / LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        write_golden(scratch, clip, logits)
        return _fill(model, recipe, scratch, step)


def check_id(name: str) -> None:
    """Check a model's id. ModelError: it is empty, too long or has other characters than ID_PATTERN allows."""
    if not re.fullmatch(ID_PATTERN, name):
        raise ModelError(f"id {name!r}: letters, digits, dot, dash and underscore, at most 64; see --id")


def measure_golden(folder: Path, manifest: Manifest, precisions: Sequence[str], step: Step) -> Manifest:
    """Run the golden clip through every precision as a host would, and record the errors in the manifest.

    Precisions that this machine cannot run keep no error; the host's self-test will run them.
    InexactExport: errors are above the limits of their precisions, or above that of the host's self-test.
    """
    builds, inexact = dict(manifest.precisions), dict[str, tuple[float, float]]()
    (folder / MANIFEST).write_bytes(dump(seal(manifest)))
    model = open_model(folder)
    for name in precisions:
        step(f"{name} against PyTorch, on the golden clip")
        if not runs_here(name):
            continue
        limit = limits_of(name).max_logit_error or WORST_GOLDEN_ERROR
        try:
            with closing(open_any(model, name)) as runtime:
                error = golden_error(model, runtime)
        except InexactRuntime as failed:
            error, limit = failed.error, min(limit, failed.allowed)
        if not error <= limit:
            inexact[name] = error, limit
        else:
            builds[name] = builds[name].model_copy(update={"golden_error": error})
    if inexact:
        raise InexactExport(inexact)
    manifest = seal(manifest.model_copy(update={"precisions": builds}))
    (folder / MANIFEST).write_bytes(dump(manifest))
    return manifest


def runs_here(name: str) -> bool:
    """Check that this machine can run a precision of a manifest."""
    if name == "onnx":
        return True
    return torch.cuda.is_available() if name.startswith("cuda-") else processor_can(name)


def open_any(model: Model, name: str) -> Runtime:
    """Open the runtime of one of the manifest's precisions, on the device that it was exported for.

    All but ONNX Runtime have passed the host's self-test. ModelError, DeviceError: see `open_runtime`.
    """
    if name == "onnx":
        return assemble(model, model.build(name).graphs, lambda graphs, t: OnnxRuntime(model, graphs, t))
    if name.startswith("cuda-"):
        return open_runtime(model, name.removeprefix("cuda-"), "CUDA")
    return open_runtime(model, name)


def whole(model: TDN, clip: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Run the whole full-precision network on one clip, uint8 RGB [T, 5, H, W, 3]: logits float32 [classes]."""
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(clip), spec.mean, spec.std)  # [T, 5, 3, H, W]
        logits: NDArray[np.float32] = model(pixels[None])[0].numpy()
    return logits


def moving_grating(spec: InputSpec) -> NDArray[np.uint8]:
    """Draw the golden clip: one travelling grating per colour channel, uint8 RGB [T, InputSpec.frames, H, W, 3]."""
    y, x = np.mgrid[0 : spec.height, 0 : spec.width] / max(spec.height, spec.width)
    tick = spec.grid[..., None, None]  # [T, frames, 1, 1]
    waves = [np.sin(2 * np.pi * (3 * x + (c + 1) * y) + 0.35 * (c + 1) * tick) for c in range(3)]
    return np.rint(127.5 + 90 * np.stack(waves, -1)).astype(np.uint8)


def write_golden(folder: Path, clip: NDArray[np.uint8], logits: NDArray[np.float32]) -> None:
    """Write the clip that every host runs before it serves, and PyTorch's logits for it."""
    np.savez_compressed(folder / GOLDEN, clip=clip, logits=logits)


def tools() -> dict[str, str]:
    """Return the versions of the software that writes a folder, by name."""
    names = ("torch", "onnx", "onnxruntime", "openvino", "nncf")
    return {"edge-tdn": __version__, **{name: version(name) for name in names}}


def _golden_logits(model: TDN, clip: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    try:
        return whole(model, clip, spec)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the network cannot take frames of {spec.height}x{spec.width}: {reason}") from error


def _fill(model: TDN, recipe: Recipe, folder: Path, step: Step) -> Manifest:
    """Write weights, graphs and manifest into `folder`, which holds labels and golden clip already."""
    step("weights")
    checkpoint.save(model, folder / WEIGHTS, recipe.input)
    features = feature_shapes(model, recipe.input)
    graphs = {name: _graphs(name, recipe.precisions, features) for name in recipe.precisions}
    step("PyTorch -> ONNX")
    halves = {"encoder": encoder_half(model, recipe.input), "head": head_half(model, recipe.input, features)}
    _write_graphs(model, halves, graphs, folder)
    step("hashes and manifest")
    written = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = records(folder, written)
    manifest = Manifest(
        digest=UNSEALED,
        id=recipe.id,
        input=recipe.input,
        members=(Member(network=model.config.as_dict(), weights=WEIGHTS, source=dict(recipe.source)),),
        classes=model.config.classes,
        labels_sha256=files[LABELS].sha256,
        background=recipe.background,
        precisions={
            name: Build(format=format_of(name), graphs=(graphs[name],), golden_error=None) for name in recipe.precisions
        },
        tools=tools(),
        files=files,
    )
    return measure_golden(folder, manifest, recipe.precisions, step)


def _graphs(precision: str, chosen: Sequence[str], features: dict[str, tuple[int, ...]]) -> Graphs:
    """Return the paths of a precision's graphs, relative to the model folder."""
    folder, suffix = folder_of(precision, chosen), SUFFIXES[format_of(precision)]
    return Graphs(encoder=f"{folder}/encoder{suffix}", head=f"{folder}/head{suffix}", features=features)


def _write_graphs(model: TDN, halves: dict[str, NetworkHalf], graphs: dict[str, Graphs], folder: Path) -> None:
    """Write both graphs of every precision, where another precision has not written the same file."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # which is removed too if this is interrupted
        if any(format_of(name) != "torch" for name in graphs):
            for key, half in halves.items():
                to_onnx(half, model, Path(scratch) / f"{key}.onnx")
        for name, paths in graphs.items():
            for key, half in halves.items():
                target = folder / getattr(paths, key)
                target.parent.mkdir(exist_ok=True)
                if not target.exists():
                    _write_graph(half, Path(scratch) / f"{key}.onnx", target, name)


def _write_graph(half: NetworkHalf, source: Path, target: Path, precision: str) -> None:
    """Write one graph. `source`: the same one in ONNX."""
    match format_of(precision):
        case "onnx":
            shutil.copyfile(source, target)
        case "torch":
            to_program(half.module, half.example, half.dynamic is None, precision, target)
        case "openvino":
            to_ir(source, target, half_size=target.parent.name == "fp16")
