"""The network: equal to the published implementation, and built as the paper says."""

import json
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import LTDM, TDN, TDNConfig, TemporalConv, normalise
from torch import Tensor

from edge_tdn.errors import ModelError

PUBLISHED = {
    "tdn_resnet50_8f_174c": ("resnet50", 8, ("a", "b")),
    "tdn_resnet50_16f_174c": ("resnet50", 16, ("a",)),
    "tdn_resnet101_8f_174c": ("resnet101", 8, ("a",)),
}

TSN: dict[str, Any] = {"stdm_stages": (), "ltdm_stages": (), "temporal_conv_stages": ()}
T_CONV: dict[str, Any] = {"stdm_stages": (), "ltdm_stages": ()}
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "equation 1": {"stdm_fusion": "add"},
    "S-TDM as attention": {"stdm_fusion": "attention"},
    "one scale": {"ltdm_multiscale": False},
    "one direction": {"ltdm_bidirectional": False},
    "no attention": {"ltdm_attention": False},
    "plain differences": {"ltdm_multiscale": False, "ltdm_bidirectional": False, "ltdm_attention": False},
    "bilinear": {"upsample": "bilinear"},
    "bilinear attention": {"upsample": "bilinear", "stdm_fusion": "attention"},
    "no S-TDM": {"stdm_stages": ()},
    "S-TDM after stage 1": {"stdm_stages": (1,)},
    "S-TDM after stage 2": {"stdm_stages": (2,)},
    "S-TDM to stage 3": {"stdm_stages": (1, 2, 3)},
    "S-TDM everywhere": {"stdm_stages": (1, 2, 3, 4, 5), "ltdm_stages": ()},
    "S-TDM after stage 5": {"stdm_stages": (5,), "stdm_fusion": "add"},
    "no L-TDM": {"ltdm_stages": ()},
    "L-TDM from stage 2": {"ltdm_stages": (2, 3, 4, 5)},
    "L-TDM in stage 5": {"ltdm_stages": (5,), "temporal_conv_stages": ()},
    "L-TDM in stage 2, S-TDM to stage 3": {"ltdm_stages": (2,), "stdm_stages": (1, 2, 3)},
    "L-TDM and T-Conv apart": {"ltdm_stages": (4,), "temporal_conv_stages": (2, 5)},
    "L-TDM without T-Conv": {"temporal_conv_stages": ()},
    "S-TDM alone": {"ltdm_stages": (), "temporal_conv_stages": (), "stdm_stages": (1, 2, 3, 4, 5)},
    "T-Conv": T_CONV,
    "T-Conv in stage 4": {**T_CONV, "temporal_conv_stages": (4,)},
    "TSN": TSN,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.data
@pytest.mark.parametrize("variant", PUBLISHED)
def test_logits_equal_the_published_implementation(
    variant: str, published: ModuleType, reference: Path, tmp_path: Path
) -> None:
    arch, segments, clips = PUBLISHED[variant]
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


def small(segments: int = 8, arch: str = "resnet18", **options: Any) -> TDN:
    """A small network with nothing at its initial value, so that every path through it shows in the logits."""
    torch.manual_seed(3)
    model = TDN(TDNConfig(**{"arch": arch, "segments": segments, "classes": 5, "width": 0.25,
                             "conv_bias": False, **options}))  # fmt: skip
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
        if isinstance(module, TemporalConv):
            torch.nn.init.normal_(module.weight, std=0.5)
    if model.stdm is not None:
        torch.nn.init.kaiming_normal_(model.stdm.conv.weight, mode="fan_out", nonlinearity="relu")
    torch.nn.init.normal_(model.linear.weight)
    return model.eval()


def pictures(*shape: int, seed: int = 1) -> Tensor:
    """Normalised frames [*shape, 5, 3, 64, 64], the same ones in every test."""
    return torch.randn(*shape, 5, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def equal(one: Tensor, two: Tensor) -> bool:
    """Up to the order of sums, which is another in a batch of another size."""
    return bool((one - two).abs().max() <= 1e-4 * two.abs().max())


def in_one_piece(model: TDN, clips: Tensor) -> Tensor:
    """The paper's figure 2 written out, stage after stage, without a cut. clips [N, T, 5, 3, H, W] -> [N, classes]."""
    config, frames = model.config, clips.flatten(0, 1)
    x = frames[:, 2]
    d = F.avg_pool2d(torch.cat([frames[:, n + 1] - frames[:, n] for n in range(4)], 1), 2)
    y = F.max_pool2d(F.relu(model.bn1(model.conv1(x))), 3, 2, 1)
    for stage in range(1, 6):
        y = getattr(model, f"res{stage}")(y) if stage > 1 else y
        if model.stdm is None or stage > max(config.stdm_stages):
            continue
        first = lambda d: F.max_pool2d(F.relu(model.stdm.bn(model.stdm.conv(d))), 3, 2, 1)  # noqa: E731
        d = getattr(model.stdm, f"res{stage}")(d) if stage > 1 else first(d)
        if stage not in config.stdm_stages:
            continue
        if config.upsample == "nearest":
            up = F.interpolate(d, size=y.shape[-2:], mode="nearest")
        else:
            up = F.interpolate(d, size=y.shape[-2:], mode="bilinear", align_corners=False)
        if config.stdm_fusion == "add":
            y = y + up
        elif config.stdm_fusion == "attention":
            y = y + y * (torch.sigmoid(up) - 0.5)
        else:
            y = 0.5 * y + 0.5 * up if config.segments == 8 else 0.75 * y + 0.25 * up
    return model.linear(y.mean((2, 3))).view(-1, config.segments, config.classes).mean(1)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_cut_in_two_is_the_whole_network(variant: str, arch: str) -> None:
    """Segments encoded one by one, two clips classified together: equal to the network without a cut."""
    model, clips = small(arch=arch, width=0.125, **VARIANTS[variant]), pictures(2, 8)
    with torch.inference_mode():
        parts = [model.encode(segment[None]) for segment in clips.flatten(0, 1)]
        logits = model.classify(*(torch.cat(feature) for feature in zip(*parts, strict=True)))
        assert logits.shape == (2, 5)
        assert not torch.allclose(logits[0], logits[1], rtol=1e-3)
        assert equal(logits, in_one_piece(model, clips))
        assert equal(model(clips[1:]), logits[1:])


@pytest.mark.parametrize("segments", [8, 16])
def test_fusion_weighs_by_the_number_of_segments(segments: int) -> None:
    model, clips = small(segments), pictures(1, segments)
    with torch.inference_mode():
        assert equal(model(clips), in_one_piece(model, clips))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_encoder_of_every_variant_sees_one_segment_only(variant: str) -> None:
    """Cut where nothing on the left looks at a neighbour: this is what lets a sliding window reuse its features."""
    model, clip = small(width=0.125, **VARIANTS[variant]), pictures(8)
    other = clip.clone()
    other[3] = pictures(seed=2)
    with torch.inference_mode():
        features = model.encode(clip), model.encode(other)
    assert len(features[0]) == len(model.features)
    for one, two in zip(*features, strict=True):
        same = [equal(a, b) for a, b in zip(one, two, strict=True)]
        assert same == [True, True, True, False, True, True, True, True]


@pytest.mark.parametrize(
    ("options", "cut", "features"),
    [
        ({}, 3, ("h", "skip")),
        ({"stdm_stages": (1, 2, 3, 5)}, 3, ("h", "skip", "d3", "d5")),
        ({"ltdm_stages": (2,)}, 2, ("h", "skip", "d2")),
        ({"temporal_conv_stages": (2,), "stdm_stages": ()}, 2, ("h", "skip")),
        ({"ltdm_stages": (5,), "temporal_conv_stages": ()}, 5, ("h", "skip")),
        ({**TSN, "stdm_stages": (1, 2, 3, 4, 5)}, None, ("pooled",)),
        (TSN, None, ("pooled",)),
    ],
)
def test_the_cut_is_at_the_first_layer_that_looks_aside(
    options: dict[str, Any], cut: int | None, features: tuple[str, ...]
) -> None:
    model = small(width=0.125, **options)
    assert model.config.cut == cut
    assert model.features == features


def order_matters(model: TDN) -> tuple[bool, bool]:
    """Do the logits change with the segments in another order; with other frames around the centre ones?"""
    clips = pictures(1, 8)
    others = pictures(1, 8, seed=2)
    others[:, :, 2] = clips[:, :, 2]
    with torch.inference_mode():
        logits = model(clips)
        return not equal(model(clips[:, [3, 0, 7, 1, 6, 2, 5, 4]]), logits), not equal(model(others), logits)


@pytest.mark.parametrize(
    ("options", "segments_matter", "frames_matter"),
    [
        (TSN, False, False),
        (T_CONV, True, False),
        ({"stdm_stages": (), "temporal_conv_stages": ()}, True, False),
        ({"ltdm_stages": (), "temporal_conv_stages": ()}, False, True),
        ({"ltdm_stages": (), "temporal_conv_stages": (), "stdm_stages": (5,)}, False, True),
        ({"ltdm_stages": ()}, True, True),
        ({}, True, True),
    ],
)
def test_each_module_brings_its_own_sense_of_time(
    options: dict[str, Any], segments_matter: bool, frames_matter: bool
) -> None:
    """TSN averages pictures; T-Conv and L-TDM see the segments' order, S-TDM the frames around the centre."""
    assert order_matters(small(width=0.125, **options)) == (segments_matter, frames_matter)


@pytest.mark.parametrize(("arch", "backbone"), [("resnet18", 11_176_512), ("resnet50", 23_508_032)])
def test_tsn_is_the_plain_resnet(arch: str, backbone: int) -> None:
    """As many parameters as torchvision's, less its linear layer of 1000 classes."""
    model = TDN(TDNConfig(arch=arch, classes=7, conv_bias=False, **TSN))
    assert sum(p.numel() for p in model.parameters()) == backbone + 7 * (model.linear.in_features + 1)


@pytest.mark.parametrize(
    ("options", "absent", "present"),
    [
        ({}, ("stdm.res3.", "res2.0.ltdm.", "res2.0.temporal."), ("stdm.res2.", "res3.0.ltdm.fine.")),
        ({"stdm_stages": (1,)}, ("stdm.res2.",), ("stdm.conv.",)),
        ({"stdm_stages": (4,)}, ("stdm.res5.",), ("stdm.res2.", "stdm.res3.", "stdm.res4.")),
        ({"ltdm_multiscale": False}, ("res3.0.ltdm.fine", "res3.0.ltdm.coarse"), ("res3.0.ltdm.smooth.",)),
        ({"ltdm_stages": (2, 4)}, ("res3.0.ltdm.", "res5.1.ltdm."), ("res2.1.ltdm.", "res4.1.ltdm.")),
        (T_CONV, ("stdm.", "res3.0.ltdm."), ("res5.1.temporal.",)),
        (TSN, ("stdm.", "res3.0.ltdm.", "res3.0.temporal."), ("res3.0.conv1.",)),
    ],
)
def test_a_variant_has_the_weights_that_it_uses_and_no_others(
    options: dict[str, Any], absent: tuple[str, ...], present: tuple[str, ...]
) -> None:
    names = list(small(width=0.125, **options).state_dict())
    assert [part for part in absent if any(name.startswith(part) for name in names)] == []
    assert [part for part in present if not any(name.startswith(part) for name in names)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_weight_of_a_variant_reaches_the_logits(variant: str) -> None:
    model = small(width=0.125, **VARIANTS[variant])
    model(pictures(1, 8)).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
@pytest.mark.parametrize(("multiscale", "bidirectional", "attention"), list(product([True, False], repeat=3)))
def test_ltdm_is_the_equations_written_out(
    multiscale: bool, bidirectional: bool, attention: bool, upsample: str
) -> None:
    """Both directions as one batch give what section 3.3 says for each of them; so do the ablations of table 1b."""
    torch.manual_seed(0)
    config = TDNConfig(
        segments=4, ltdm_multiscale=multiscale, ltdm_bidirectional=bidirectional, ltdm_attention=attention,
        upsample=upsample,
    )  # fmt: skip
    module, x = LTDM(config, 32).eval(), torch.randn(8, 32, 7, 6)  # two clips of four segments
    corners = None if upsample == "nearest" else False

    def motion(d: Tensor) -> Tensor:
        if module.coarse is not None:
            coarse = module.coarse_bn(module.coarse(F.avg_pool2d(d, 2)))
            up = F.interpolate(coarse, size=d.shape[-2:], mode=upsample, align_corners=corners)
            d = (d + up + module.fine_bn(module.fine(d))) / 3
        return module.expand_bn(module.expand(d))

    gate = (lambda m: torch.sigmoid(m) - 0.5) if attention else (lambda m: m)
    with torch.inference_mode():
        b = module.squeeze_bn(module.squeeze(x))
        c = module.smooth(b)
        expected = []
        for t in range(8):
            first, last = t % 4 == 0, t % 4 == 3
            f = torch.zeros_like(b[:1]) if last else c[t + 1 : t + 2] - b[t : t + 1]
            g = torch.zeros_like(b[:1]) if first else c[t - 1 : t] - b[t : t + 1]
            m = 0.5 * gate(motion(f)) + 0.5 * gate(motion(g)) if bidirectional else gate(motion(f))
            expected.append(x[t : t + 1] * (1 + m) if attention else x[t : t + 1] + m)
        assert torch.allclose(module(x), torch.cat(expected), atol=1e-5)


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
    model = TDN(TDNConfig(arch="resnet18", width=0.25))
    assert model.stdm is not None
    for channel in range(12):
        assert torch.allclose(model.stdm.conv.weight[:, channel], model.conv1.weight.mean(1))


def test_pixels_are_normalised_as_published() -> None:
    frames = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)  # one pixel, RGB
    expected = (torch.tensor([0, 128, 255]) / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    assert torch.allclose(normalise(frames).flatten(), expected, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_configuration_survives_json(variant: str) -> None:
    config = TDNConfig(**VARIANTS[variant])
    assert TDNConfig.of(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"arch": "resnet51"}, "arch 'resnet51' is not known; allowed: resnet18, resnet34, resnet50, resnet101"),
        ({"segments": 1}, "segments 1 is too few"),
        ({"classes": 0}, "classes 0 is too few"),
        ({"width": 9.0}, "width 9.0 is out of range"),
        ({"stdm_fusion": "sum"}, "stdm_fusion 'sum' is not known; allowed: weighted, add, attention"),
        ({"upsample": "cubic"}, "upsample 'cubic' is not known; allowed: nearest, bilinear"),
        ({"stdm_stages": (0, 1)}, "stdm_stages 0 is not known; allowed: 1 to 5"),
        ({"stdm_stages": (1, 6)}, "stdm_stages 6 is not known; allowed: 1 to 5"),
        ({"ltdm_stages": (1, 2)}, "ltdm_stages 1 is not known; allowed: 2 to 5"),
        ({"temporal_conv_stages": (5, 7)}, "temporal_conv_stages 7 is not known; allowed: 2 to 5"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        TDNConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"depth": 50}, "unknown option 'depth'"),
        ({"segments": 8.5}, "segments 8.5 is no int"),
        ({"segments": "8"}, "segments '8' is no int"),
        ({"classes": True}, "classes True is no int"),
        ({"width": "wide"}, "width 'wide' is no float"),
        ({"ltdm_attention": "no"}, "ltdm_attention 'no' is no bool"),
        ({"arch": ["resnet50"]}, "arch"),
        ({"stdm_stages": 2}, "stdm_stages 2 is no tuple"),
        ({"ltdm_stages": [3, "4"]}, "ltdm_stages .* is no list of stages"),
        ({"ltdm_stages": [3, [4]]}, "ltdm_stages .* is no list of stages"),
        ({"ltdm_stages": None}, "ltdm_stages None is no tuple"),
    ],
)
def test_a_description_of_another_kind_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        TDNConfig.of(wrong)
