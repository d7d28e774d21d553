"""The measured network: R50, T = 8, 224x224, 174 classes, in a model folder that is exported once.

Its weights are those of the reference folder if there is one (pseudo-random, the published layout), else random with a
fixed seed: neither are trained, which does not matter for speed. Exported again when the exporter changes.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import edge_tdn_export
import numpy as np
import torch
from edge_tdn_export.convert.convert import Recipe, convert
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.quantize.quantize import parse_limits, quantize

from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.manifest import InputSpec, Model, open_model
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture
from tests.conftest import reference_network

REFERENCE = "tdn_resnet50_8f_174c"
CLASSES, SEGMENTS = 174, 8
FRAME_RATE, STRIDE = 12.0, 6  # a segment every half second
CALIBRATION = ("left", "approach")  # videos, 10 s each
PRECISIONS = ("fp32", "bf16")
SPEC = InputSpec(
    segments=SEGMENTS,
    height=224,
    width=224,
    resize="short_side_centre_crop",
    short_side=256,
    frame_rate=FRAME_RATE,
    segment_stride=STRIDE,
)


def network(reference: Path) -> TDN:
    """Return the network in evaluation mode. `reference`: the folder of reference_state.py."""
    config = TDNConfig(arch="resnet50", segments=SEGMENTS, classes=CLASSES)
    if (reference / "reference_state.py").exists():
        return reference_network(reference, REFERENCE, config)
    torch.manual_seed(0)
    return TDN(config).eval()


def folder(network: TDN, out: Path, step: Callable[[str], None]) -> Model:
    """Return a model folder with FP32, BF16 and INT8, calibrated on generated videos; create it if necessary."""
    mark = out / "exporter.sha256"
    sources = sorted(Path(edge_tdn_export.__path__[0]).rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        labels = out / "labels.txt"
        labels.write_text("".join(f"label {n}\n" for n in range(CLASSES)))
        convert(network, Recipe("r50-t8", labels, SPEC, precisions=PRECISIONS), out / "model", step)
        for seed, label in enumerate(CALIBRATION):
            write_video(moving(seed, label, 240, 320, 10 * int(FRAME_RATE)), int(FRAME_RATE), out / f"{label}.mp4")
        quantize(out / "model", out, parse_limits(["top1=0", "kl=10"]), 8, quick=True, step=lambda *what: step(what[0]))
        mark.write_text(digest)
    return open_model(out / "model")


def moving(seed: int, label: str, height: int, width: int, frames: int, rate: float = FRAME_RATE) -> Iterator[Picture]:
    """Return frames of one moving object."""
    scene, motion = Scene(np.random.default_rng(seed), height, width), Motion(label)
    return (scene.draw(motion.at(Pose(0.5, 0.5, 0.4), n / rate % 2)) for n in range(frames))
