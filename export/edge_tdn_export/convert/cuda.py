"""Export the programs that `edge_tdn.inference.cuda` runs: the network rearranged for a GPU, once per precision.

The results stay the same. On a GPU the cost is memory traffic and kernel launches, and so these are reduced:

    batch norms             folded into their convolutions
    temporal convolution    three products summed in one channels-last tensor; no copies of shifted segments
    L-TDM                   both differences in one batch, scale factors folded into the last convolution, and
                            `sigmoid(m) - 0.5` as `tanh(m / 2) / 2`, which is exact near zero in BF16 too
    precision               weights of convolutions are stored in their precision, so that no call casts them;
                            pixels, differences of frames and the linear layer stay FP32

Both programs take any number of rows: the encoder segments [N, 5, H, W, 3], the head clips [N, T, H, W, C].
"""

import copy
import io
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edge_tdn_export.network.tdn import LTDM, TemporalConv

LayerCall = tuple[nn.Module, tuple[Tensor, ...], Any]  # layer, inputs, output
DTYPES = {"cuda-fp32": torch.float32, "cuda-fp16": torch.float16, "cuda-bf16": torch.bfloat16}


def to_program(half: nn.Module, example: tuple[Tensor, ...], one_clip: bool, precision: str, path: Path) -> None:
    """Export one half of the network to a file that loads without this package and holds only the weights it uses.

    `example`: inputs of `half`. `one_clip`: the rows of `half` are the segments of one clip; the program takes N clips.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module = arranged(half, example, DTYPES[precision])
        dynamic: Any = ({0: torch.export.Dim.DYNAMIC},) * len(example)
        if one_clip:
            module, example, dynamic = _Clips(module), tuple(rows[None] for rows in example), (dynamic,)
            example = tuple(rows.to(DTYPES[precision]) for rows in example)
        # two rows: torch.export would fix a size of one
        two = tuple(rows[:1].repeat(2, *[1] * (rows.dim() - 1)) for rows in example)
        program = torch.export.export(module.eval(), two, dynamic_shapes=dynamic)
        program.example_inputs = None  # they would be saved too, as a third of the file
        content = io.BytesIO()  # PyTorch's file writer aborts the process when the disk is full
        torch.export.save(program, content)
        path.write_bytes(content.getbuffer())


def arranged(half: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> nn.Module:
    """Return a copy of one half of the network, in evaluation mode, rearranged for a GPU, without unused layers."""
    module = copy.deepcopy(half)
    calls = _calls(module, example)
    _drop_unused(module, {layer for layer, _, _ in calls})
    _fold_batch_norms(module, calls)
    for name, layer in list(module.named_modules()):
        if isinstance(layer, LTDM):
            module.set_submodule(name, _LTDM(layer))
        elif isinstance(layer, TemporalConv):
            module.set_submodule(name, _TemporalConv(layer))
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | _TemporalConv):
            layer.to(dtype)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_pre_hook(_cast)
    return module


def _calls(module: nn.Module, example: tuple[Tensor, ...]) -> list[LayerCall]:
    """Run the module and return the calls of its layers, in order."""
    calls: list[LayerCall] = []
    record = lambda layer, inputs, output: calls.append((layer, inputs, output))  # noqa: E731
    hooks = [layer.register_forward_hook(record) for layer in module.modules()]
    module(*example)
    for hook in hooks:
        hook.remove()
    return calls


def _drop_unused(module: nn.Module, called: set[nn.Module]) -> None:
    for name, child in module.named_children():
        if called.isdisjoint(child.modules()):
            setattr(module, name, nn.Identity())
        else:
            _drop_unused(child, called)


def _fold_batch_norms(module: nn.Module, calls: list[LayerCall]) -> None:
    """Fold every batch norm into the convolution whose output it reads."""
    made = [(layer, output) for layer, _, output in calls if isinstance(layer, nn.Conv2d)]
    pairs = {
        norm: next(conv for conv, output in made if output is taken)
        for norm, (taken, *_), _ in calls
        if isinstance(norm, nn.BatchNorm2d)
    }
    for name, norm in list(module.named_modules()):
        if isinstance(norm, nn.BatchNorm2d):
            conv = pairs[norm]
            fused = fuse_conv_bn_eval(conv, norm)
            conv.weight, conv.bias = fused.weight, fused.bias
            module.set_submodule(name, nn.Identity())


def _cast(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor]) -> Tensor | None:
    """Cast a layer's input to the dtype of its weights, as a forward pre-hook."""
    return None if inputs[0].dtype == layer.weight.dtype else inputs[0].to(layer.weight.dtype)


class _Clips(nn.Module):
    """The head, for the features of N clips [N, T, ...]."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *features: Tensor) -> Tensor:
        logits: Tensor = self.head(*(feature.flatten(0, 1) for feature in features))
        return logits


class _TemporalConv(nn.Module):
    """A rearranged `edge_tdn_export.network.tdn.TemporalConv`. [N*T, C, H, W]."""

    def __init__(self, layer: TemporalConv) -> None:
        super().__init__()
        self.segments = layer.segments
        self.weight = nn.Parameter(layer.weight[:, 0].T[..., None, None].clone(), requires_grad=False)  # [3, C, 1, 1]

    def forward(self, x: Tensor) -> Tensor:
        y = x.unflatten(0, (-1, self.segments))  # type: ignore[no-untyped-call]  # [N, T, C, H, W]
        before, now, after = self.weight.unbind(0)
        result = now * y
        result[:, 1:].addcmul_(before, y[:, :-1])
        result[:, :-1].addcmul_(after, y[:, 1:])
        flat: Tensor = result.flatten(0, 1)
        return flat


class _LTDM(nn.Module):
    """A rearranged `edge_tdn_export.network.tdn.LTDM` with its batch norms folded. [N*T, C, H, W]."""

    def __init__(self, layer: LTDM) -> None:
        super().__init__()
        self.segments, self.upsample = layer.segments, layer.upsample
        self.directions, self.attention = 2 if layer.bidirectional else 1, layer.attention
        self.squeeze, self.smooth, self.expand = layer.squeeze, layer.smooth, layer.expand
        self.coarse, self.fine = layer.coarse, layer.fine
        weight, bias = layer.expand.weight, layer.expand.bias  # [C, C/r, 1, 1], [C]
        assert bias is not None
        if self.coarse is not None and self.fine is not None:
            assert self.coarse.bias is not None
            assert self.fine.bias is not None
            weight = weight / 3  # of the mean of three scales
            bias = bias + weight[..., 0, 0] @ (self.coarse.bias + self.fine.bias)  # the same at every pixel
            self.coarse.bias = self.fine.bias = None
        if self.attention or layer.bidirectional:
            weight, bias = weight / 2, bias / 2  # of tanh(m / 2), or of the mean of both directions
        self.expand.weight, self.expand.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)

    def forward(self, x: Tensor) -> Tensor:
        m = self.expand(self._scales(self._differences(x)))  # [directions*N*T, C, H, W]
        if self.attention:
            m = torch.tanh(m)
        if self.directions == 2:
            m_f, m_g = m.chunk(2, 0)
            m = m_f + m_g  # [N*T, C, H, W]
        result: Tensor = torch.addcmul(x, x, m, value=0.5 / self.directions) if self.attention else x + m
        return result

    def _differences(self, x: Tensor) -> Tensor:
        """Subtract neighbouring segments: [N*T, C, H, W] -> [directions*N*T, C/r, H, W]."""
        b = self.squeeze(x)
        b, c = (y.unflatten(0, (-1, self.segments)) for y in (b, self.smooth(b)))  # [N, T, C/r, H, W]
        last_axis = b.movedim(-3, -1)  # channels come last in memory
        d = last_axis.new_zeros(self.directions, *last_axis.shape).movedim(-1, -3)  # [directions, N, T, C/r, H, W]
        torch.sub(c[:, 1:], b[:, :-1], out=d[0, :, :-1])  # c_{t+1} - b_t, 0 at the end
        if self.directions == 2:
            torch.sub(c[:, :-1], b[:, 1:], out=d[1, :, 1:])  # c_{t-1} - b_t, 0 first
        flat: Tensor = d.flatten(0, 2)
        return flat

    def _scales(self, d: Tensor) -> Tensor:
        """Return the sum of the three scales; `expand` divides by three."""
        if self.coarse is None or self.fine is None:
            return d
        coarse = self.coarse(F.avg_pool2d(d, 2))
        corners = False if self.upsample == "bilinear" else None
        coarse = F.interpolate(coarse, size=d.shape[-2:], mode=self.upsample, align_corners=corners)
        result: Tensor = d + self.fine(d) + coarse
        return result
