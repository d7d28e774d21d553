"""A network as one OpenVINO graph from clip to logits, so that networks of different parts are compared fairly.

The two graphs of a model folder are not comparable: they are cut at the first layer that uses a neighbouring segment.
TSN has no such layer, so its encoder would be the whole network, and eight runs of one segment take longer than one run
of eight.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from edge_tdn_export.convert.convert import moving_grating, whole
from edge_tdn_export.convert.graphs import NetworkHalf, to_onnx
from edge_tdn_export.network.tdn import TDN, normalise
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_tdn.errors import ModelError
from edge_tdn.inference.openvino import compile_graph
from edge_tdn.inference.self_test import SELF_TEST_LIMIT
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT

OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}  # as in the daemon

Compiled = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # uint8 [T, 5, H, W, 3] -> logits [classes]


class _Clip(nn.Module):
    """A network whose input is a clip uint8 [T, 5, H, W, 3] and whose output is logits [1, classes]."""

    def __init__(self, network: TDN, spec: InputSpec) -> None:
        super().__init__()
        self.network, self._mean, self._std = network, spec.mean, spec.std

    def forward(self, frames: Tensor) -> Tensor:
        return self.network.classify(*self.network.encode(normalise(frames, self._mean, self._std)))


def compile_whole(network: TDN, spec: InputSpec) -> Compiled:
    """Compile a network for the CPU, in FP32. ModelError: its logits differ from those of PyTorch."""
    example = torch.zeros(spec.segments, FRAMES_PER_SEGMENT, spec.height, spec.width, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "clip.onnx"
        to_onnx(NetworkHalf(_Clip(network.eval(), spec).eval(), (example,), ["frames"], ["logits"]), network, path)
        core = ov.Core()
        request = compile_graph(core, core.read_model(path), "CPU", OPTIONS).create_infer_request()

    def run(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
        request.infer([ov.Tensor(clip, shared_memory=True)], share_outputs=True)
        logits: NDArray[np.float32] = request.get_output_tensor().data[0].copy()
        return logits

    clip = moving_grating(spec)
    expected = whole(network, clip, spec)
    error = float(np.abs(run(clip) - expected).max() / np.abs(expected).max())
    if not error <= SELF_TEST_LIMIT["fp32"]:
        raise ModelError(
            f"the logits of OpenVINO differ from those of PyTorch by {error:.2g} of the largest: this is a bug; please "
            f"report it"
        )
    return run
