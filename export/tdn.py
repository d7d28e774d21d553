"""The Temporal Difference Network in full precision, as `CVPR 2021`_ describes it and its published weights expect it.

Every tensor line says its shape. N clips, T segments a clip, five frames a segment, C channels, H rows, W columns.

The network is written in two halves, because a sliding window only ever computes the second one anew:

    SegmentEncoder   sees one segment        res1, S-TDM, res2, and what of res3's first block needs no other segment
    ClipHead         sees T segments         the rest of res3, res4, res5, L-TDM, temporal convolution, linear, mean

.. _CVPR 2021: arXiv 2012.10071
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_tdn.errors import ModelError
from edge_tdn.manifest import IMAGENET_MEAN, IMAGENET_STD
from edge_tdn.messages import FRAMES_PER_SEGMENT

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
BASIC = ("resnet18", "resnet34")  # built of two 3x3 convolutions; the others of 1x1, 3x3, 1x1
REDUCTION = 16  # r of the L-TDM
LEAST_REDUCED = 8  # channels: an L-TDM is never narrower


@dataclass(frozen=True)
class TDNConfig:
    """What fixes the shape of a TDN; written into the manifest, so that weights are never guessed at."""

    arch: str = "resnet50"  # one of DEPTHS
    segments: int = 8  # T
    classes: int = 174
    width: float = 1.0  # channels relative to the named ResNet, rounded to multiples of 8
    conv_bias: bool = True  # published weights have a bias on every backbone convolution, beside its batch norm

    def __post_init__(self) -> None:
        if self.arch not in DEPTHS:
            raise ModelError(f"arch {self.arch!r} is not known; allowed: {', '.join(DEPTHS)}")
        if self.segments < 2:
            raise ModelError(f"segments {self.segments} is too few: long-term differences need at least 2")
        if self.classes < 1:
            raise ModelError(f"classes {self.classes} is too few: at least 1")
        if not 0.125 <= self.width <= 2:
            raise ModelError(f"width {self.width} is out of range: 0.125 to 2")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def fusion(self) -> tuple[float, float]:
        """alpha and beta: how much of the centre frame and of the difference goes on (published: by T)."""
        return (0.5, 0.5) if self.segments < 16 else (0.75, 0.25)

    def channels(self, n: int) -> int:
        """`n` channels of the named ResNet, at this width."""
        return max(8, round(n * self.width / 8) * 8)


class TDN(nn.Module):
    """frames float32 [N, T, 5, 3, H, W], RGB, normalised -> logits float32 [N, classes], the mean over T segments."""

    def __init__(self, config: TDNConfig) -> None:
        super().__init__()
        self.config = config
        basic = config.arch in BASIC
        depths = DEPTHS[config.arch]
        stem, expansion = config.channels(64), 1 if basic else 4
        planes = [config.channels(64 * 2**i) for i in range(4)]
        outs = [p * expansion for p in planes]
        res3 = _stage(config, outs[0], planes[1], depths[1], stride=2, temporal=True)
        self.encoder = SegmentEncoder(config, stem, planes[0], depths[0], entry=res3[0].entry)
        self.head = ClipHead(
            config,
            first=res3[0].exit,
            blocks=nn.Sequential(
                *res3[1:],
                *_stage(config, outs[1], planes[2], depths[2], stride=2, temporal=True),
                *_stage(config, outs[2], planes[3], depths[3], stride=2, temporal=True),
            ),
            features=outs[3],
        )
        _initialise(self)

    def forward(self, clips: Tensor) -> Tensor:
        h, skip = self.encoder(clips.flatten(0, 1))  # [N*T, 5, 3, H, W] -> two of [N*T, C, H/.., W/..]
        logits: Tensor = self.head(h, skip)  # [N, classes]
        return logits


class SegmentEncoder(nn.Module):
    """frames float32 [B, 5, 3, H, W] -> (h, skip): what one segment contributes, whatever its neighbours are.

    h is res3's first block after its first convolution, batch norm and ReLU; skip is that block's downsample branch.
    """

    def __init__(self, config: TDNConfig, stem: int, planes: int, depth: int, entry: "BlockEntry") -> None:
        super().__init__()
        self.alpha, self.beta = config.fusion
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=config.conv_bias)
        self.bn1 = nn.BatchNorm2d(stem)
        self.res2 = nn.Sequential(*_stage(config, stem, planes, depth, stride=1, temporal=False))
        # S-TDM: its own stem over the four stacked differences, and its own copy of res2
        self.diff_conv = nn.Conv2d(3 * (FRAMES_PER_SEGMENT - 1), stem, 7, stride=2, padding=3, bias=False)
        self.diff_bn = nn.BatchNorm2d(stem)
        self.diff_res2 = nn.Sequential(*_stage(config, stem, planes, depth, stride=1, temporal=False))
        self.entry = entry

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        centre = frames[:, 2]  # x3, [B, 3, H, W]
        difference = (frames[:, 1:] - frames[:, :-1]).flatten(1, 2)  # [x2-x1 .. x5-x4], [B, 12, H, W]
        d1 = F.relu(self.diff_bn(self.diff_conv(F.avg_pool2d(difference, 2))))  # [B, C, H/4, W/4]
        d1 = F.max_pool2d(d1, 3, stride=2, padding=1)  # [B, C, H/8, W/8]
        d2 = self.diff_res2(d1)  # [B, C', H/8, W/8]
        y = F.relu(self.bn1(self.conv1(centre)))  # [B, C, H/2, W/2]
        y = F.max_pool2d(y, 3, stride=2, padding=1)  # res1, [B, C, H/4, W/4]
        y = self.alpha * y + self.beta * _up(d1, y)
        y = self.res2(y)  # [B, C', H/4, W/4]
        y = self.alpha * y + self.beta * _up(d2, y)
        h, skip = self.entry(y)
        return h, skip


class ClipHead(nn.Module):
    """(h, skip) of N*T segments, clip after clip -> logits [N, classes]."""

    def __init__(self, config: TDNConfig, first: "BlockExit", blocks: nn.Sequential, features: int) -> None:
        super().__init__()
        self.segments = config.segments
        self.first = first
        self.blocks = blocks
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(features, config.classes)

    def forward(self, h: Tensor, skip: Tensor) -> Tensor:
        y = self.blocks(self.first(h, skip))  # [N*T, C, H/32, W/32]
        y = self.dropout(y.mean((2, 3)))  # [N*T, C]
        y = self.linear(y)  # [N*T, classes]
        logits: Tensor = y.unflatten(0, (-1, self.segments)).mean(1)
        return logits  # [N, classes]


class BlockEntry(nn.Module):
    """The part of a residual block that looks at one segment: first convolution, and the skip branch."""

    def __init__(self, config: TDNConfig, inner: int, planes: int, stride: int) -> None:
        super().__init__()
        basic = config.arch in BASIC
        out = planes * (1 if basic else 4)
        kernel, first_stride = (3, stride) if basic else (1, 1)  # a bottleneck strides in its 3x3
        self.conv1 = nn.Conv2d(inner, planes, kernel, first_stride, padding=kernel // 2, bias=config.conv_bias)
        self.bn1 = nn.BatchNorm2d(planes)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inner != out:
            convolution = nn.Conv2d(inner, out, 1, stride, bias=config.conv_bias)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.relu(self.bn1(self.conv1(x))), self.downsample(x)


class BlockExit(nn.Module):
    """The rest of a residual block: in res3 to res5 it looks at the neighbouring segments first."""

    def __init__(self, config: TDNConfig, planes: int, stride: int, temporal: bool) -> None:
        super().__init__()
        basic = config.arch in BASIC
        bias = config.conv_bias
        self.temporal: nn.Module = nn.Identity()
        if temporal:
            self.temporal = nn.Sequential(LTDM(planes, config.segments), TemporalConv(planes, config.segments))
        self.conv2 = nn.Conv2d(planes, planes, 3, 1 if basic else stride, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = None if basic else nn.Conv2d(planes, planes * 4, 1, bias=bias)
        self.bn3 = None if basic else nn.BatchNorm2d(planes * 4)

    def forward(self, h: Tensor, skip: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv2(self.temporal(h)))
        if self.conv3 is not None and self.bn3 is not None:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + skip)


class Block(nn.Module):
    """A residual block, whole."""

    def __init__(self, config: TDNConfig, inner: int, planes: int, stride: int, temporal: bool) -> None:
        super().__init__()
        self.entry = BlockEntry(config, inner, planes, stride)
        self.exit = BlockExit(config, planes, stride, temporal)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.exit(*self.entry(x))
        return y


class LTDM(nn.Module):
    """Long-term temporal difference module (section 3.3): attention from differences between segments. [N*T, C, H, W].

    Forward and backward differences share weights and go through them as one batch. In training the batch norms
    therefore see both directions at once, where the published code shows them one after the other.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        reduced = max(LEAST_REDUCED, channels // REDUCTION)
        self.squeeze = nn.Conv2d(channels, reduced, 1, bias=False)
        self.squeeze_bn = nn.BatchNorm2d(reduced)
        self.smooth = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.coarse = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
        self.coarse_bn = nn.BatchNorm2d(reduced)
        self.fine = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
        self.fine_bn = nn.BatchNorm2d(reduced)
        self.expand = nn.Conv2d(reduced, channels, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        b = self.squeeze_bn(self.squeeze(x))  # [N*T, C/r, H, W]
        c = self.smooth(b)
        b, c = _by_clip(b, self.segments), _by_clip(c, self.segments)  # [N, T, ...], or [T, ...] of one clip
        axis = b.dim() - 4
        nothing = torch.zeros_like(b.narrow(axis, 0, 1))
        last = self.segments - 1
        f = torch.cat((c.narrow(axis, 1, last) - b.narrow(axis, 0, last), nothing), axis)  # c_{t+1} - b_t, 0 at the end
        g = torch.cat((nothing, c.narrow(axis, 0, last) - b.narrow(axis, 1, last)), axis)  # c_{t-1} - b_t, 0 at first
        d = torch.cat((f, g), 0)
        d = d.flatten(0, axis)  # [2*N*T, C/r, H, W]
        coarse = _up(self.coarse_bn(self.coarse(F.avg_pool2d(d, 2))), d)
        m = (d + coarse + self.fine_bn(self.fine(d))) / 3
        m = torch.sigmoid(self.expand_bn(self.expand(m))) - 0.5  # [2*N*T, C, H, W]
        m_f, m_g = m.chunk(2, 0)
        return x + x * (0.5 * m_f + 0.5 * m_g)


class TemporalConv(nn.Module):
    """Depthwise convolution of 3 over the segments, zero outside the clip; first a channel shift. [N*T, C, H, W]."""

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.weight = nn.Parameter(torch.zeros(channels, 1, 3))  # on t-1, t, t+1, as conv1d has it
        eighth = channels // 8
        with torch.no_grad():
            self.weight[:eighth, 0, 2] = 1  # shift left: take the next segment
            self.weight[eighth : 2 * eighth, 0, 0] = 1  # shift right: take the previous one
            self.weight[2 * eighth :, 0, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        before, now, after = (w.view(1, -1, 1, 1) for w in self.weight[:, 0].unbind(1))
        y = _by_clip(x, self.segments)  # [N, T, C, H, W], or [T, C, H, W] of one clip
        axis = y.dim() - 4
        nothing = torch.zeros_like(y.narrow(axis, 0, 1))
        last = self.segments - 1
        previous = torch.cat((nothing, y.narrow(axis, 0, last)), axis)
        following = torch.cat((y.narrow(axis, 1, last), nothing), axis)
        return (before * previous + now * y + after * following).flatten(0, axis)


def normalise(frames: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """uint8 RGB [..., H, W, 3] -> float32 [..., 3, H, W], `(x/255 - mean)/std`."""
    offset, scale = (255 * torch.tensor(values, device=frames.device) for values in (mean, std))
    return ((frames.to(torch.float32) - offset) / scale).movedim(-1, -3)


def _by_clip(x: Tensor, segments: int) -> Tensor:
    """[N*T, ...] -> [N, T, ...]. One clip alone stays as it is, so that its exported graph needs no reshape."""
    return x if x.shape[0] == segments else x.unflatten(0, (-1, segments))  # type: ignore[no-untyped-call]


def _up(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the height and width of `like`, nearest (the paper: bilinear; the published weights: nearest)."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def _stage(config: TDNConfig, inner: int, planes: int, depth: int, stride: int, temporal: bool) -> list[Block]:
    """`depth` blocks; the first one changes the size."""
    out = planes * (1 if config.arch in BASIC else 4)
    first = Block(config, inner, planes, stride, temporal)
    return [first, *(Block(config, out, planes, 1, temporal) for _ in range(depth - 1))]


def _initialise(model: TDN) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    encoder = model.encoder
    with torch.no_grad():  # the S-TDM's kernel: conv1's mean over RGB, for each of the 12 difference channels
        encoder.diff_conv.weight.copy_(encoder.conv1.weight.mean(1, keepdim=True).expand_as(encoder.diff_conv.weight))
    nn.init.normal_(model.head.linear.weight, std=0.001)
    nn.init.zeros_(model.head.linear.bias)
