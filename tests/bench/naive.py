"""The published network, exported as a whole: the baseline of the sliding window of two graphs.

One clip at a time through all layers; batch norms separate from their convolutions; forward and backward differences
one after the other; the temporal convolution as reshape, transpose, conv1d, transpose. Same weights and logits as ours.
"""

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import torch
import torch.nn.functional as F
from edge_tdn_export.convert.graphs import OPSET, read_onnx
from edge_tdn_export.network.tdn import LTDM, TDN, Block, TemporalConv
from torch import Tensor, nn

CALIBRATION_CLIPS = 4  # the speed of INT8 needs only finite ranges


class Published(nn.Module):
    """The whole network: frames float32 [1, T, 5, 3, H, W], normalised -> logits [1, classes]."""

    def __init__(self, network: TDN) -> None:
        super().__init__()
        self.network = network
        self.blocks = nn.ModuleList(
            _Block(block) for stage in (3, 4, 5) for block in getattr(network, f"res{stage}").children()
        )

    def forward(self, clips: Tensor) -> Tensor:
        own = self.network
        alpha, beta = own.config.fusion
        frames = clips.flatten(0, 1)
        x = [frames[:, i] for i in range(5)]
        assert own.stdm
        d = torch.cat([x[i + 1] - x[i] for i in range(4)], 1)
        d = F.max_pool2d(F.relu(own.stdm.bn(own.stdm.conv(F.avg_pool2d(d, 2)))), 3, stride=2, padding=1)
        y = F.max_pool2d(F.relu(own.bn1(own.conv1(x[2]))), 3, stride=2, padding=1)
        y = alpha * y + beta * F.interpolate(d, y.shape[2:])
        y, d = own.res2(y), own.stdm.res2(d)
        y = alpha * y + beta * F.interpolate(d, y.shape[2:])
        for block in self.blocks:
            y = block(y)
        y = F.adaptive_avg_pool2d(y, 1).flatten(1)
        return own.linear(y).view(-1, own.config.segments, own.config.classes).mean(1)


class _Block(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        own = self.block
        assert own.ltdm
        assert own.temporal
        assert own.conv3
        assert own.bn3
        y = F.relu(own.bn1(own.conv1(x)))
        y = _temporal(own.temporal, _ltdm(own.ltdm, y))
        y = own.bn3(own.conv3(F.relu(own.bn2(own.conv2(y)))))
        return F.relu(y + own.downsample(x))


def _ltdm(own: LTDM, x: Tensor) -> Tensor:
    b = own.squeeze_bn(own.squeeze(x))
    by_clip = (-1, own.segments, *b.shape[1:])
    c = own.smooth(b).view(by_clip)
    b = b.view(by_clip)
    f = F.pad(c[:, 1:] - b[:, :-1], (0, 0, 0, 0, 0, 0, 0, 1)).flatten(0, 1)
    g = F.pad(c[:, :-1] - b[:, 1:], (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)
    return x + x * (0.5 * _attention(own, f) + 0.5 * _attention(own, g))


def _attention(own: LTDM, d: Tensor) -> Tensor:
    assert own.coarse
    assert own.coarse_bn
    assert own.fine
    assert own.fine_bn
    coarse = F.interpolate(own.coarse_bn(own.coarse(F.avg_pool2d(d, 2))), d.shape[2:])
    scales = (d + coarse + own.fine_bn(own.fine(d))) / 3
    return torch.sigmoid(own.expand_bn(own.expand(scales))) - 0.5


def _temporal(own: TemporalConv, x: Tensor) -> Tensor:
    _, c, h, w = x.shape
    y = x.view(-1, own.segments, c, h, w).permute(0, 3, 4, 2, 1).reshape(-1, c, own.segments)
    y = F.conv1d(y, own.weight, padding=1, groups=c)
    return y.view(-1, h, w, c, own.segments).permute(0, 4, 3, 1, 2).reshape(-1, c, h, w)


def to_openvino(network: TDN, size: tuple[int, int], scratch: Path) -> ov.Model:
    """Return the whole published network as OpenVINO reads it from ONNX; `size` is height, width."""
    clip = torch.zeros(1, network.config.segments, 5, 3, *size)
    path = scratch / "published.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(Published(network).eval(), (clip,), path, opset_version=OPSET, dynamo=True, verbose=False)
    return read_onnx(path)


def to_int8(whole: ov.Model) -> ov.Model:
    """Quantise with the defaults of NNCF."""
    shape = list(whole.inputs[0].shape)
    clips = [np.random.default_rng(n).normal(size=shape).astype(np.float32) for n in range(CALIBRATION_CLIPS)]
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        return nncf.quantize(whole, nncf.Dataset(clips), subset_size=CALIBRATION_CLIPS)
