"""Model folders exported from small networks, and what tests do with them."""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edge_tdn_export.__main__ import _parser
from edge_tdn_export.commands.convert_plan import ConversionPlan, make_plan
from edge_tdn_export.convert.convert import Recipe, convert, steps, whole
from edge_tdn_export.convert.precisions import PRECISIONS
from edge_tdn_export.network.tdn import TDN
from numpy.typing import NDArray

from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import LABELS as LABELS_FILE
from edge_tdn.manifest import InputSpec
from tests.conftest import run_folder
from tests.support.networks import small_network

SPEC = InputSpec(segments=8, height=64, width=64, resize="stretch", frame_rate=12.0, segment_stride=3)
LABELS = ("one", "two", "three")
BACKGROUND = ("one",)


@dataclass(frozen=True, eq=False)
class SmallModel:
    """A network of eight segments and three labels, and its model folder in every precision that `convert` writes.

    All tests share the folder: those that change it work on a copy.
    """

    network: TDN
    folder: Path


def build_small_model(factory: pytest.TempPathFactory) -> SmallModel:
    network = small_network(width=0.125, classes=len(LABELS))

    def build(folder: Path) -> None:
        export(network, folder, background=BACKGROUND, precisions=PRECISIONS)

    return SmallModel(network, built_once(factory, "small-model", build))


def export(
    network: TDN,
    folder: Path,
    spec: InputSpec = SPEC,
    labels: Sequence[str] = LABELS,
    name: str = "small",
    **recipe: Any,
) -> Path:
    """Convert a network to the model folder `folder`, with its labels file beside it.

    `name`: the model's id. `recipe`: further fields of Recipe.
    """
    file = write_labels(folder.with_name(f"{folder.name}-{LABELS_FILE}"), labels)
    description, reported = Recipe(name, file, spec, **recipe), list[str]()
    with torch_threads(1):
        convert(network, description, folder, reported.append)
    assert len(reported) == steps(description.precisions)
    return folder


def planned(arguments: Sequence[str]) -> tuple[ConversionPlan, list[str]]:
    """Return the plan of a command line of `convert`, which exports nothing, and the notes that the command prints."""
    notes = list[str]()
    return make_plan(_parser().parse_args(arguments), notes.append), notes


def write_labels(path: Path, labels: Sequence[str] = LABELS) -> Path:
    path.write_text("\n".join(labels) + "\n")
    return path


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give PyTorch this number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder that `build` writes once per test run, also where pytest-xdist runs several workers."""
    root = run_folder(factory)
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = root / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            unfinished.rename(folder)
    return folder


def noise(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random segments, uint8 [count, 5, 64, 64, 3], which are nothing like the golden clip."""
    return np.random.default_rng(seed).integers(0, 256, (count, 5, SPEC.height, SPEC.width, 3), np.uint8)


def relative_error(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference, relative to the largest expected value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def sliding_error(runtime: Runtime, network: TDN, segments: NDArray[np.uint8]) -> float:
    """Slide a window of eight over the segments and return the largest error of its logits; closes the runtime.

    Each segment is encoded once and each window classified; PyTorch runs the whole network on every window.
    """
    ring, errors = runtime.ring(), []
    for n, frames in enumerate(segments):
        runtime.encode([frames], [ring])
        if ring.full:
            errors.append(relative_error(runtime.classify([ring])[0], whole(network, segments[n - 7 : n + 1], SPEC)))
    runtime.close()
    assert len(errors) == len(segments) - 7
    return max(errors)
