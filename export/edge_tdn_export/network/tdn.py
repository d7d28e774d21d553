"""The Temporal Difference Network in full precision, after `CVPR 2021`_ and its published weights.

Every tensor line states its shape: N clips of T segments, five frames per segment, C channels, H rows, W columns.

The network is cut in two, because a sliding window recomputes only the second part:

    encode      one segment at a time    everything up to the first layer that reads a neighbouring segment
    classify    T segments together      the rest: L-TDM, temporal convolution, linear, mean

In the published network the cut lies in res3's first block, after its first convolution.

.. _CVPR 2021: arXiv 2012.10071
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_tdn.manifest import IMAGENET_MEAN, IMAGENET_STD
from edge_tdn.messages import CENTRE, FRAMES_PER_SEGMENT
from edge_tdn_export.network.config import BASIC, DEPTHS, POOLINGS, STAGES, TDNConfig

RGB = 3  # channels of a frame
REDUCTION = 16  # r of the L-TDM (section 3.3)
MIN_REDUCED_CHANNELS = 8  # an L-TDM is never narrower


class TDN(nn.Module):
    """A network from normalised RGB frames, float32 [N, T, 5, 3, H, W], to logits float32 [N, classes].

    The logits of a clip are the mean over its T segments.
    """

    def __init__(self, config: TDNConfig) -> None:
        super().__init__()
        self.config = config
        depths = DEPTHS[config.arch]
        expansion = 1 if config.arch in BASIC else 4
        planes = [config.channels(64 * 2**i) for i in range(4)]
        inner = stem = config.channels(64)
        self.conv1 = nn.Conv2d(RGB, stem, 7, stride=2, padding=3, bias=config.conv_bias)
        self.bn1 = nn.BatchNorm2d(stem)
        self.stdm = STDM(config, stem) if config.stdm_stages else None
        for stage, width, depth in zip(STAGES, planes, depths, strict=True):
            stride = 1 if stage == 2 else 2
            self.add_module(f"res{stage}", _stage(config, inner, width, depth, stride, stage))
            if self.stdm is not None and stage <= max(config.stdm_stages):
                self.stdm.add_module(f"res{stage}", _stage(config, inner, width, depth, stride, None))
            inner = width * expansion
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(inner * POOLINGS[config.pooling], config.classes)
        _initialise(self)

    def forward(self, clips: Tensor) -> Tensor:
        return self.classify(*self.encode(clips.flatten(0, 1)))  # [N*T, 5, 3, H, W] -> features -> [N, classes]

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of `encode`'s outputs: h and skip at the cut, then the differences of stages after it."""
        cut = self.config.cut
        if cut is None:
            return ("pooled",)
        return ("h", "skip", *(f"d{stage}" for stage in self.config.stdm_stages if stage >= cut))

    def encode(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of single segments, frames [B, 5, 3, H, W]; `features` names them.

        h is the cut block after its first convolution, batch norm and ReLU; skip is that block's downsample branch.
        """
        return self.encode_parts(frames[:, CENTRE], frames.flatten(1, 2))

    def encode_parts(self, centre: Tensor, frames: Tensor, unit: Tensor | float = 1.0) -> tuple[Tensor, ...]:
        """Compute `encode` from the centre frame x3 [B, 3, H, W] and all five frames stacked [B, 15, H, W].

        `centre` is normalised. `frames` may be `unit` times too large, as pixels are: only their differences count.
        """
        differences = self.stdm(frames, unit) if self.stdm is not None else {}
        if self.config.shrink > 1:
            centre = F.avg_pool2d(centre, self.config.shrink)  # H and W below are of the smaller picture
        y = F.relu(self.bn1(self.conv1(centre)))  # [B, C, H/2, W/2]
        y = F.max_pool2d(y, 3, stride=2, padding=1)  # res1, [B, C, H/4, W/4]
        y = self._fuse(1, y, differences)
        for stage in STAGES:
            blocks = self._stage(stage)
            if stage == self.config.cut:
                late = [differences[s] for s in self.config.stdm_stages if s >= stage]
                return (*blocks[0].entry(y), *late)
            y = self._fuse(stage, blocks(y), differences)
        return (y.mean((2, 3)),)  # [B, C]

    def classify(self, *features: Tensor) -> Tensor:
        """Return the logits [N, classes] of the features of N*T segments, clip after clip."""
        cut = self.config.cut
        y = features[0]
        if cut is not None:
            _, skip, *late = features
            differences = dict(zip([s for s in self.config.stdm_stages if s >= cut], late, strict=True))
            first, *rest = self._stage(cut)
            y = first.exit(y, skip)
            for block in rest:
                y = block(y)
            y = self._fuse(cut, y, differences)
            for stage in range(cut + 1, STAGES[-1] + 1):
                y = self._fuse(stage, self._stage(stage)(y), differences)
            y = y.mean((2, 3))  # [N*T, C]
        if self.config.pooling == "statistics":
            pooled = y.unflatten(0, (-1, self.config.segments))  # type: ignore[no-untyped-call]  # [N, T, C]
            logits: Tensor = self.linear(self.dropout(_statistics(pooled)))
        else:
            logits = self.linear(self.dropout(y)).unflatten(0, (-1, self.config.segments)).mean(1)
        return logits  # [N, classes]

    def _stage(self, stage: int) -> Any:
        return getattr(self, f"res{stage}")

    def _fuse(self, stage: int, y: Tensor, differences: dict[int, Tensor]) -> Tensor:
        """Fuse a stage's output y with its short-term difference: alpha * y + beta * H(D), equation 1. [B, C, H, W]."""
        if stage not in self.config.stdm_stages:
            return y
        d = _up(differences[stage], y, self.config.upsample)
        if self.config.stdm_fusion == "attention":
            return y + y * (torch.sigmoid(d) - 0.5)
        alpha, beta = self.config.fusion
        return alpha * y + beta * d


class STDM(nn.Module):
    """Short-term temporal difference module (section 3.2): frames [B, 15, H, W] -> {stage: difference at 1/8, ...}.

    A stem over the four stacked differences, followed by copies of the residual stages.
    """

    def __init__(self, config: TDNConfig, stem: int) -> None:
        super().__init__()
        self.last, self.shrink = max(config.stdm_stages), config.shrink
        self.conv = nn.Conv2d(RGB * (FRAMES_PER_SEGMENT - 1), stem, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(stem)

    def forward(self, frames: Tensor, unit: Tensor | float) -> dict[int, Tensor]:
        difference = frames[:, RGB:] - frames[:, :-RGB]  # [x2-x1 .. x5-x4], [B, 12, H, W]
        motion = F.avg_pool2d(difference, 2 * self.shrink) / unit  # D, [B, 12, H/2, W/2]
        d = F.relu(self.bn(self.conv(motion)))  # [B, C, H/4, W/4]
        d = F.max_pool2d(d, 3, stride=2, padding=1)  # d1, [B, C, H/8, W/8]
        differences = {1: d}
        for stage in range(2, self.last + 1):
            d = differences[stage] = getattr(self, f"res{stage}")(d)
        return differences


class Block(nn.Module):
    """A residual block. Its `entry` reads one segment; its `exit` also the neighbours where `stage` has such layers."""

    def __init__(self, config: TDNConfig, inner: int, planes: int, stride: int, stage: int | None) -> None:
        super().__init__()
        basic, bias = config.arch in BASIC, config.conv_bias
        out = planes * (1 if basic else 4)
        kernel = 3 if basic else 1
        first_stride, second_stride = (stride, 1) if basic or config.stride_conv == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(inner, planes, kernel, first_stride, padding=kernel // 2, bias=bias)
        self.bn1 = nn.BatchNorm2d(planes)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inner != out:
            self.downsample = nn.Sequential(nn.Conv2d(inner, out, 1, stride, bias=bias), nn.BatchNorm2d(out))
        self.ltdm = LTDM(config, planes) if stage in config.ltdm_stages else None
        has_temporal = stage in config.temporal_conv_stages
        self.temporal = TemporalConv(planes, config.segments, config.temporal) if has_temporal else None
        self.conv2 = nn.Conv2d(planes, planes, 3, second_stride, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = None if basic else nn.Conv2d(planes, planes * 4, 1, bias=bias)
        self.bn3 = None if basic else nn.BatchNorm2d(planes * 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.exit(*self.entry(x))

    def entry(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.relu(self.bn1(self.conv1(x))), self.downsample(x)

    def exit(self, h: Tensor, skip: Tensor) -> Tensor:
        if self.ltdm is not None:
            h = self.ltdm(h)
        if self.temporal is not None:
            h = self.temporal(h)
        y: Tensor = self.bn2(self.conv2(h))
        if self.conv3 is not None and self.bn3 is not None:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + skip)


class LTDM(nn.Module):
    """Long-term temporal difference module (section 3.3): attention from differences between segments. [N*T, C, H, W].

    Forward and backward differences share weights and pass the scales as one batch. In training those batch norms
    therefore see both directions at once, while the published code runs one after the other.
    """

    def __init__(self, config: TDNConfig, channels: int) -> None:
        super().__init__()
        self.segments, self.upsample = config.segments, config.upsample
        self.bidirectional, self.attention = config.ltdm_bidirectional, config.ltdm_attention
        reduced = max(MIN_REDUCED_CHANNELS, channels // REDUCTION)
        self.squeeze = nn.Conv2d(channels, reduced, 1, bias=False)
        self.squeeze_bn = nn.BatchNorm2d(reduced)
        self.smooth = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.coarse = self.coarse_bn = self.fine = self.fine_bn = None
        if config.ltdm_multiscale:
            self.coarse = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
            self.coarse_bn = nn.BatchNorm2d(reduced)
            self.fine = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
            self.fine_bn = nn.BatchNorm2d(reduced)
        self.expand = nn.Conv2d(reduced, channels, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        d = self._scales(self._differences(x))  # [2*N*T, C/r, H, W], or [N*T, ...] of one direction
        directions = d.chunk(2, 0) if self.bidirectional else (d,)  # split while they are small
        motion = [self.expand_bn(self.expand(direction)) for direction in directions]  # [N*T, C, H, W] each
        if self.attention:  # sigmoid(m) - 0.5, exact near zero too: BF16 has only eight significant bits
            motion = [torch.tanh(m / 2) / 2 for m in motion]
        mean: Tensor = reduce(torch.add, motion) / len(motion)
        return x * (1 + mean) if self.attention else x + mean

    def _differences(self, x: Tensor) -> Tensor:
        b = self.squeeze_bn(self.squeeze(x))  # [N*T, C/r, H, W]
        c = self.smooth(b)
        b, c = _by_clip(b, self.segments), _by_clip(c, self.segments)  # [N, T, ...], or [T, ...] of one clip
        axis = b.dim() - 4
        nothing = torch.zeros_like(b.narrow(axis, 0, 1))
        last = self.segments - 1
        f = torch.cat((c.narrow(axis, 1, last) - b.narrow(axis, 0, last), nothing), axis)  # c_{t+1} - b_t, 0 at the end
        if self.bidirectional:
            g = torch.cat((nothing, c.narrow(axis, 0, last) - b.narrow(axis, 1, last)), axis)  # c_{t-1} - b_t, 0 first
            f = torch.cat((f, g), 0)
        differences: Tensor = f.flatten(0, axis)
        return differences

    def _scales(self, d: Tensor) -> Tensor:
        if self.coarse is None or self.coarse_bn is None or self.fine is None or self.fine_bn is None:
            return d
        coarse = _up(self.coarse_bn(self.coarse(F.avg_pool2d(d, 2))), d, self.upsample)
        mean: Tensor = (d + coarse + self.fine_bn(self.fine(d))) / 3
        return mean


class TemporalConv(nn.Module):
    """Depthwise convolution of size 3 over the segments, zero-padded; initially a channel shift. [N*T, C, H, W].

    The shift of TSM stays as it is: its weights are a buffer, not a parameter. The online one has no channels of the
    next segment.

    It is computed on images whose rows are the segments. Where channels are last in memory, as in compiled graphs,
    transposes and reshapes copy nothing, and one pass reads and writes x once.
    """

    weight: Tensor

    def __init__(self, channels: int, segments: int, kind: str = "conv") -> None:
        """`kind`: one of config.TEMPORALS."""
        super().__init__()
        self.segments = segments
        weight = torch.zeros(channels, 1, 3)  # on t-1, t, t+1, as conv1d has it
        next_end = 0 if kind == "online_shift" else channels // 8
        previous_end = next_end + channels // 8
        weight[:next_end, 0, 2] = 1  # shift left: take the next segment
        weight[next_end:previous_end, 0, 0] = 1  # shift right: take the previous one
        weight[previous_end:, 0, 1] = 1
        if kind == "conv":
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        c, h, w = x.shape[1:]
        y = x.permute(0, 2, 3, 1).reshape(-1, self.segments, h * w, c).permute(0, 3, 1, 2)  # [N, C, T, H*W]
        y = F.conv2d(y, self.weight.unsqueeze(-1), padding=(1, 0), groups=c)
        return y.permute(0, 2, 3, 1).reshape(-1, h, w, c).permute(0, 3, 1, 2)


def normalise(frames: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """Convert pixels, uint8 RGB [..., H, W, 3], to float32 [..., 3, H, W]: `(x/255 - mean)/std`."""
    offset, scale = (255 * torch.tensor(values, device=frames.device) for values in (mean, std))
    return ((frames.to(torch.float32) - offset) / scale).movedim(-1, -3)


def _by_clip(x: Tensor, segments: int) -> Tensor:
    """Reshape [N*T, ...] to [N, T, ...]. A single clip stays [T, ...], so that its exported graph has no reshape."""
    return x if x.shape[0] == segments else x.unflatten(0, (-1, segments))  # type: ignore[no-untyped-call]


def _statistics(pooled: Tensor) -> Tensor:
    """Return mean, mean absolute difference of neighbours and maximum over the segments: [N, T, C] -> [N, 3*C]."""
    difference = pooled[:, 1:] - pooled[:, :-1]
    return torch.cat((pooled.mean(1), difference.abs().mean(1), pooled.amax(1)), 1)


def _up(x: Tensor, like: Tensor, mode: str) -> Tensor:
    """Resize `x` to the height and width of `like`."""
    corners = False if mode == "bilinear" else None
    return F.interpolate(x, size=like.shape[-2:], mode=mode, align_corners=corners)


def _stage(config: TDNConfig, inner: int, planes: int, depth: int, stride: int, stage: int | None) -> nn.Sequential:
    """Return `depth` blocks, of which the first changes the size. `stage` None: a copy for the S-TDM."""
    out = planes * (1 if config.arch in BASIC else 4)
    first = Block(config, inner, planes, stride, stage)
    return nn.Sequential(first, *(Block(config, out, planes, 1, stage) for _ in range(depth - 1)))


def _initialise(model: TDN) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if model.stdm is not None:  # the S-TDM's kernel: conv1's mean over RGB, for each of the 12 difference channels
        with torch.no_grad():
            model.stdm.conv.weight.copy_(model.conv1.weight.mean(1, keepdim=True).expand_as(model.stdm.conv.weight))
    nn.init.normal_(model.linear.weight, std=0.001)
    nn.init.zeros_(model.linear.bias)
