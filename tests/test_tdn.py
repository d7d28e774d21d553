"""The network: equal to the published implementation, and built as the paper says."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from edge_tdn.errors import ModelError
from export import checkpoint
from export.tdn import LTDM, TDN, TDNConfig, TemporalConv, normalise

VARIANTS = {
    "tdn_resnet50_8f_174c": ("resnet50", 8, ("a", "b")),
    "tdn_resnet50_16f_174c": ("resnet50", 16, ("a",)),
    "tdn_resnet101_8f_174c": ("resnet101", 8, ("a",)),
}


@pytest.mark.data
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_the_published_implementation(
    variant: str, published: ModuleType, reference: Path, tmp_path: Path
) -> None:
    arch, segments, clips = VARIANTS[variant]
    state = {name: torch.from_numpy(value) for name, value in published.state_dict(variant).items() if value.shape}
    path = tmp_path / "best.pth.tar"
    torch.save({"epoch": 1, "arch": arch, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    model = checkpoint.load(path, arch=arch, segments=segments)
    golden = json.loads((reference / "golden.json").read_text())[variant]
    assert set(golden) == set(clips)
    for clip in clips:
        expected = torch.tensor(golden[clip])
        with torch.inference_mode():
            logits = model(torch.from_numpy(published.clip(clip, segments))[None])[0]
        assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("arch", "millions"), [("resnet50", 24.4), ("resnet101", 43.7)])
def test_parameters_are_as_many_as_published(arch: str, millions: float) -> None:
    model = TDN(TDNConfig(arch=arch, classes=174))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.005)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("segments", [8, 16])
def test_every_backbone_gives_logits(arch: str, segments: int) -> None:
    model = TDN(TDNConfig(arch=arch, segments=segments, classes=7, width=0.25, conv_bias=False)).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, segments, 5, 3, 64, 64)).shape == (2, 7)


def small(segments: int = 8) -> TDN:
    torch.manual_seed(3)
    return TDN(TDNConfig(arch="resnet18", segments=segments, classes=5, width=0.25, conv_bias=False)).eval()


def test_clips_of_a_batch_never_mix() -> None:
    model, clips = small(), torch.randn(3, 8, 5, 3, 64, 64)
    with torch.inference_mode():
        together, alone = model(clips), torch.cat([model(clip[None]) for clip in clips])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_encoder_sees_one_segment_only() -> None:
    """Cut where nothing on the left looks at a neighbour: this is what lets a sliding window reuse its features."""
    model, clip = small(), torch.randn(8, 5, 3, 64, 64)
    other = clip.clone()
    other[3] = torch.randn(5, 3, 64, 64)
    with torch.inference_mode():
        for one, two in zip(model.encode(clip), model.encode(other), strict=True):
            same = [bool(torch.allclose(a, b, atol=1e-6)) for a, b in zip(one, two, strict=True)]
            assert same == [True, True, True, False, True, True, True, True]


def test_order_of_segments_and_of_frames_matters() -> None:
    model, clip = small(), torch.randn(1, 8, 5, 3, 64, 64)
    for parameters in model.linear.parameters():
        torch.nn.init.normal_(parameters)
    with torch.inference_mode():
        logits = model(clip)
        assert not torch.allclose(logits, model(clip.flip(1)), atol=1e-4)
        assert not torch.allclose(logits, model(clip.flip(2)), atol=1e-4)


def test_ltdm_is_the_equations_written_out() -> None:
    """Forward and backward differences as one batch give what section 3.3 says for each of them."""
    torch.manual_seed(0)
    module, x = LTDM(TDNConfig(segments=4), 32).eval(), torch.randn(8, 32, 6, 6)  # two clips of four segments
    up = torch.nn.functional.interpolate

    def attention(d: torch.Tensor) -> torch.Tensor:
        coarse = module.coarse_bn(module.coarse(torch.nn.functional.avg_pool2d(d, 2)))
        m = (d + up(coarse, size=d.shape[-2:], mode="nearest") + module.fine_bn(module.fine(d))) / 3
        return torch.sigmoid(module.expand_bn(module.expand(m))) - 0.5

    with torch.inference_mode():
        b = module.squeeze_bn(module.squeeze(x))
        c = module.smooth(b)
        expected = []
        for t in range(8):
            first, last = t % 4 == 0, t % 4 == 3
            f = torch.zeros_like(b[:1]) if last else c[t + 1 : t + 2] - b[t : t + 1]
            g = torch.zeros_like(b[:1]) if first else c[t - 1 : t] - b[t : t + 1]
            expected.append(x[t : t + 1] * (1 + 0.5 * attention(f) + 0.5 * attention(g)))
        assert torch.allclose(module(x), torch.cat(expected), atol=1e-6)


def test_temporal_convolution_is_conv1d_over_the_segments() -> None:
    module, x = TemporalConv(16, 8), torch.randn(16, 16, 3, 3)  # two clips
    torch.nn.init.normal_(module.weight)
    columns = x.view(2, 8, 16, 9).permute(0, 3, 2, 1).reshape(18, 16, 8)
    expected = torch.nn.functional.conv1d(columns, module.weight, padding=1, groups=16)
    expected = expected.view(2, 9, 16, 8).permute(0, 3, 2, 1).reshape(16, 16, 3, 3)
    assert torch.allclose(module(x), expected, atol=1e-5)


def test_temporal_convolution_begins_as_a_shift() -> None:
    x = torch.randn(8, 16, 1, 1)
    y = TemporalConv(16, 8)(x)
    assert torch.equal(y[:-1, :2], x[1:, :2])  # an eighth looks ahead
    assert torch.equal(y[1:, 2:4], x[:-1, 2:4])  # an eighth looks back
    assert torch.equal(y[:, 4:], x[:, 4:])


def test_short_term_kernel_begins_as_the_mean_of_conv1() -> None:
    model = small()
    assert model.stdm is not None
    assert torch.allclose(model.stdm.conv.weight[:, 7], model.conv1.weight.mean(1))


def test_pixels_are_normalised_as_published() -> None:
    frames = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)  # one pixel, RGB
    expected = (torch.tensor([0, 128, 255]) / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    assert torch.allclose(normalise(frames).flatten(), expected, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"arch": "resnet51"}, {"segments": 1}, {"classes": 0}, {"width": 9.0}])
def test_a_network_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=str(next(iter(wrong.values())))):
        TDNConfig(**wrong)  # type: ignore[arg-type]
