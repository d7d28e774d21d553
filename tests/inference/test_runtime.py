"""The runtime's results equal the whole network's for the same frames, on real video too; and its memory errors."""

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from edge_tdn_export.convert.convert import Recipe, convert, whole
from edge_tdn_export.network import checkpoint

from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import is_out_of_memory
from edge_tdn.manifest import InputSpec, Model, open_model
from edge_tdn.media import gstreamer
from edge_tdn.messages import Segment
from edge_tdn.segments.window import Window


def segments_of(video: Path, model: Model, seconds: float) -> list[Segment]:
    """Return the segments of a video, through the real source and window."""
    source = Source(CameraConfig(name="reel", source=str(video)), Path("/"), lambda state, reason: None)
    window, stop = Window(model.manifest.input, 0.5), threading.Event()
    found: list[Segment] = []
    for frame in source.frames(stop):
        found += window.push(frame)
        if frame.pts_ns > seconds * 1e9:
            stop.set()
    return found


@pytest.mark.data
@pytest.mark.parametrize("name", ["activities_reel.mp4", "asl_reel.mp4"])
def test_on_real_video_the_runtime_equals_the_whole_network(name: str, data: Path, motion: Model) -> None:
    network = checkpoint.load(motion.folder / "weights.safetensors", arch="resnet18", segments=8, width=0.5)
    runtime = open_runtime(motion)
    ring = runtime.ring()
    segments = segments_of(data / "videos" / name, motion, 5)
    assert len(segments) >= 16
    compared = 0
    for n, segment in enumerate(segments):
        assert segment.index == n
        runtime.encode([segment.frames], [ring])
        if ring.full:
            clip = np.stack([s.frames for s in segments[n - 7 : n + 1]])
            expected = whole(network, clip, motion.manifest.input)
            assert np.abs(runtime.classify([ring])[0] - expected).max() <= 1e-4 * np.abs(expected).max()
            compared += 1
    assert compared >= 9
    runtime.close()


@pytest.mark.slow
@pytest.mark.data
def test_on_real_video_the_published_resnet50_equals_the_whole_network(
    data: Path, published: ModuleType, tmp_path: Path
) -> None:
    """At its full size, through export, window, ring and OpenVINO."""
    state = {k: torch.from_numpy(v) for k, v in published.state_dict("tdn_resnet50_8f_174c").items() if v.shape}
    torch.save({"state_dict": state}, tmp_path / "best.pth.tar")
    network = checkpoint.load(tmp_path / "best.pth.tar", segments=8)
    (tmp_path / "labels.txt").write_text("".join(f"label {n}\n" for n in range(174)))
    spec = InputSpec(
        segments=8,
        height=224,
        width=224,
        resize="short_side_centre_crop",
        short_side=256,
        frame_rate=12.0,
        segment_stride=3,
    )
    convert(network, Recipe("r50", tmp_path / "labels.txt", spec), tmp_path / "model")
    model = open_model(tmp_path / "model")
    runtime = open_runtime(model)
    ring = runtime.ring()
    segments = segments_of(data / "videos/activities_reel.mp4", model, 3.5)
    for segment in segments:
        runtime.encode([segment.frames], [ring])
    expected = whole(network, np.stack([segment.frames for segment in segments[-8:]]), spec)
    assert len(segments) > 10
    assert np.abs(runtime.classify([ring])[0] - expected).max() <= 1e-4 * np.abs(expected).max()
    runtime.close()


def test_rings_of_one_runtime_are_independent(motion: Model) -> None:
    runtime = open_runtime(motion)
    one, two = runtime.ring(), runtime.ring()
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 8, 5, 96, 96, 3), np.uint8)
    for frames_a, frames_b in zip(a, b, strict=True):
        runtime.encode([frames_a], [one])
        runtime.encode([frames_b], [two])
    mixed = runtime.classify([one])[0], runtime.classify([two])[0]
    alone = runtime.ring()
    for frames in a:
        runtime.encode([frames], [alone])
    assert np.array_equal(runtime.classify([alone])[0], mixed[0])
    assert not np.allclose(mixed[0], mixed[1])
    runtime.close()


def test_logits_are_float32_rows_that_the_caller_owns(motion: Model) -> None:
    runtime = open_runtime(motion)
    rings = [runtime.ring(), runtime.ring()]
    for frames in np.random.default_rng(2).integers(0, 256, (8, 5, 96, 96, 3), np.uint8):
        runtime.encode([frames, 255 - frames], rings)
    logits = runtime.classify(rings)
    before = logits.copy()
    runtime.classify(rings[::-1])
    assert (logits.dtype, logits.shape) == (np.float32, (2, len(motion.labels)))
    assert np.array_equal(logits, before)
    runtime.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("Exception from src/core.cpp:1:\nFailed to allocate 77070336 bytes of memory"), True),
        (RuntimeError("can't alloc"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("Resource temporarily unavailable"), True),  # no room for a thread
        (RuntimeError("[GPU] clEnqueueNDRangeKernel, error code: -6 CL_OUT_OF_HOST_MEMORY"), True),
        (RuntimeError("[GPU] Exceeded max size of memory object allocation: requested 9 bytes"), True),
        (RuntimeError("L0 zeMemAllocDevice result: ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN
        (RuntimeError("Check 'false' failed: bad combination"), False),
        (ValueError("could not broadcast input array"), False),
    ],
)
def test_out_of_memory_is_recognised_in_the_messages_of_all_libraries(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_the_camera_host_imports_no_torch_and_no_exporter() -> None:
    """The daemon's imports load neither torch nor onnx, exporter or trainer."""
    program = (
        "import sys, edge_tdn.__main__, edge_tdn.service.daemon, edge_tdn.cli.demo, edge_tdn.cli.check, "
        "edge_tdn.cli.watch, edge_tdn.inference.openvino, edge_tdn.capture.gst_capture, edge_tdn.capture.cv_capture;"
        "print({m.split('.')[0] for m in sys.modules}"
        " & {'torch', 'onnx', 'edge_tdn_export', 'edge_tdn_training', 'safetensors'})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_openvino_works_after_gstreamer_was_loaded() -> None:
    """GStreamer's libunwind must not break the exceptions that OpenVINO throws and catches internally."""
    program = "import cv2, edge_tdn.media.gstreamer as g; g.load(); import openvino; openvino.Core().available_devices"
    if not gstreamer.available():
        pytest.skip("no GStreamer here")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
