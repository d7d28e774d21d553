"""A small FP32 model folder and videos to quantise it with, made once per test run."""

import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from edge_tdn_export.__main__ import main

from tests.support.action_video import write_action
from tests.support.exports import built_once, export
from tests.support.networks import FEW_OPERATORS, small_network
from tests.support.quantized import LABELS, SAMPLES


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in FP32 with few operators.

    Its logits are small, so that no score is near 1 and INT8 shows in the divergence.
    """

    def build(folder: Path) -> None:
        network = small_network(seed=7, classes=len(LABELS), **FEW_OPERATORS)
        with torch.no_grad():
            network.linear.weight.mul_(0.25)
            network.linear.bias.mul_(0.25)
        export(network, folder, labels=LABELS, precisions=("fp32",))

    return built_once(tmp_path_factory, "few-operators", build)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 5 s: two calibrate, one is held out."""

    def build(folder: Path) -> None:
        folder.mkdir()
        for seed, label in enumerate(("left", "wave", "approach")):
            write_action(folder / f"{label}.mp4", label, 75, seed)

    return built_once(tmp_path_factory, "quantize-videos", build)


@pytest.fixture(scope="session")
def quantised(exported: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with INT8 within limits that need no exception, and the output of the command."""

    def build(folder: Path) -> None:
        folder.mkdir()
        model, output = shutil.copytree(exported, folder / "model"), io.StringIO()
        with redirect_stdout(output):
            limits = ["--limit", "top1=0.8", "--limit", "kl=0.05"]
            options = ["--clips", str(videos), "--samples", str(SAMPLES), "--quick", *limits]
            assert main(["quantize", str(model), *options]) == 1  # written, but measured on too few clips
        finished = folder.with_suffix("")  # its name when it is built
        (folder / "output.txt").write_text(output.getvalue().replace(str(folder), str(finished)))

    folder = built_once(tmp_path_factory, "quantised", build)
    return folder / "model", (folder / "output.txt").read_text()
