"""A network as one OpenVINO graph, clip in, logits out: how networks of different parts are compared fairly.

The two graphs of a model folder would not do: they are cut where the first layer looks at a neighbouring segment. TSN
has none, so its encoder would be everything, and eight times one segment takes longer than once eight.
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

OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}  # as the daemon's

Compiled = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # uint8 [T, 5, H, W, 3] -> logits [classes]


class _Clip(nn.Module):
    """uint8 [T, 5, H, W, 3] -> logits [1, classes]."""

    def __init__(self, network: TDN, spec: InputSpec) -> None:
        super().__init__()
        self.network, self._mean, self._std = network, spec.mean, spec.std

    def forward(self, frames: Tensor) -> Tensor:
        return self.network.classify(*self.network.encode(normalise(frames, self._mean, self._std)))


def compile_whole(network: TDN, spec: InputSpec) -> Compiled:
    """For the processor, in FP32. ModelError: it says other things of a clip than PyTorch does."""
    example = torch.zeros(spec.segments, FRAMES_PER_SEGMENT, spec.height, spec.width, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "clip.onnx"
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
            f"in OpenVINO its logits are {error:.2g} of the largest off PyTorch's: a fault of this program"
        )
    return run
