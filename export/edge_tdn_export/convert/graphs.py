"""The two graphs of a network, encoder and head, and their export from PyTorch to ONNX and OpenVINO."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import openvino as ov
import torch
from openvino._offline_transformations import apply_moc_transformations
from torch import Tensor, nn

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import CENTRE, FRAMES_PER_SEGMENT
from edge_tdn_export.convert.node_names import node_names, rename
from edge_tdn_export.network.tdn import TDN, normalise

REGISTRATION = "torch.onnx._internal.exporter._registration"  # the logger that reports missing packages
OPSET = 18
ROOT = "network"  # the attribute under which the modules below hold the network; prefix of all its module paths


class EncoderGraph(nn.Module):
    """Encode segments, uint8 RGB [B, 5, H, W, 3], to features with channels last, as they lie in compiled graphs.

    The graph normalises the centre frame and the differences, of which the mean cancels. Differences of grey levels
    are integers, and so exact in BF16 too.
    """

    def __init__(self, network: TDN, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self._mean, self._std = spec.mean, spec.std

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        centre = normalise(frames[:, CENTRE], self._mean, self._std)
        stacked = channels_first(frames.movedim(1, -2).flatten(-2))  # [B, 15, H, W], as bytes: cheap to move
        unit = 255 * torch.tensor(self._std * (FRAMES_PER_SEGMENT - 1))[:, None, None]  # [12, 1, 1]
        features = self.network.encode_parts(centre, stacked.to(torch.float32), unit)
        return tuple(map(channels_last, features))


class HeadGraph(nn.Module):
    """Classify the features of the T segments of one clip, channels last: logits [1, classes]."""

    def __init__(self, network: TDN) -> None:
        super().__init__()
        self.network = network

    def forward(self, *features: Tensor) -> Tensor:
        return self.network.classify(*map(channels_first, features))


def channels_last(feature: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H, W, C]; [B, C] stays."""
    return feature.movedim(1, -1)


def channels_first(feature: Tensor) -> Tensor:
    """[B, H, W, C] -> [B, C, H, W]; [B, C] stays."""
    return feature.movedim(-1, 1)


@dataclass(frozen=True, eq=False)
class NetworkHalf:
    """The encoder or the head in PyTorch, with all that an export needs to trace it."""

    module: nn.Module  # in evaluation mode
    example: tuple[Tensor, ...]  # example inputs
    inputs: Sequence[str]
    outputs: Sequence[str]
    dynamic: Any = None  # torch.export's dynamic_shapes; None: all shapes are fixed


def encoder_half(model: TDN, spec: InputSpec) -> NetworkHalf:
    """Return the encoder, for any number of segments. The host fixes the number at load, at no cost."""
    example = torch.zeros(2, FRAMES_PER_SEGMENT, spec.height, spec.width, 3, dtype=torch.uint8)
    dynamic = {"frames": {0: torch.export.Dim.DYNAMIC}}
    return NetworkHalf(EncoderGraph(model, spec).eval(), (example,), ["frames"], model.features, dynamic)


def head_half(model: TDN, spec: InputSpec, features: Mapping[str, tuple[int, ...]]) -> NetworkHalf:
    """Return the head, for one clip: a graph for more would need reshapes that OpenVINO cannot read."""
    example = tuple(torch.zeros(spec.segments, *shape) for shape in features.values())
    return NetworkHalf(HeadGraph(model).eval(), example, model.features, ["logits"])


def feature_shapes(model: TDN, spec: InputSpec) -> dict[str, tuple[int, ...]]:
    """Return the shape of each feature of one segment, [H, W, C] or [C]."""
    with torch.inference_mode():
        features = model.encode(torch.zeros(1, FRAMES_PER_SEGMENT, 3, spec.height, spec.width))
    shapes = (tuple(channels_last(feature).shape[1:]) for feature in features)
    return dict(zip(model.features, shapes, strict=True))


def to_onnx(half: NetworkHalf, network: TDN, path: Path) -> None:
    """Export to ONNX, name the nodes after the network's modules, and run onnx's own checker."""
    logging.getLogger(REGISTRATION).addFilter(_is_of_use)
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


def _is_of_use(record: logging.LogRecord) -> bool:
    """Filter log records: no TDN has operators of torchvision."""
    return not record.getMessage().startswith("torchvision is not installed. Skipping")


def to_ir(source: Path, path: Path, half_size: bool) -> None:
    """Convert ONNX to OpenVINO IR with its weights in FP32, or with `half_size` in FP16."""
    ov.save_model(read_onnx(source), path, compress_to_fp16=half_size)


def read_onnx(source: Path) -> ov.Model:
    """Do what `ov.convert_model` does, without its telemetry, which sends usage data to its vendor."""
    graph = ov.Core().read_model(source)
    apply_moc_transformations(graph, cf=False, smart_reshape=True)
    return graph
