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
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import LTDM, TDN, TemporalConv, normalise
from torch import Tensor

from edge_tdn.errors import ModelError
from tests.support.networks import T_CONV, TSM, TSN, VARIANTS, small_network

PUBLISHED = {
    "tdn_resnet50_8f_174c": ("resnet50", 8, ("a", "b")),
    "tdn_resnet50_16f_174c": ("resnet50", 16, ("a",)),
    "tdn_resnet101_8f_174c": ("resnet101", 8, ("a",)),
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
def test_number_of_parameters_is_the_published_one(arch: str, millions: float) -> None:
    model = TDN(TDNConfig(arch=arch, classes=174))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.005)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("segments", [8, 16])
def test_every_backbone_gives_logits(arch: str, segments: int) -> None:
    model = TDN(TDNConfig(arch=arch, segments=segments, classes=7, width=0.25, conv_bias=False)).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, segments, 5, 3, 64, 64)).shape == (2, 7)


def random_frames(*shape: int, seed: int = 1, shrink: int = 1) -> Tensor:
    """Return normalised frames [*shape, 5, 3, side, side], which are 64 pixels wide after the network's `shrink`."""
    side = 64 * shrink
    return torch.randn(*shape, 5, 3, side, side, generator=torch.Generator().manual_seed(seed))


def equal(one: Tensor, two: Tensor) -> bool:
    """Compare up to the order of sums, which depends on the batch size."""
    return bool((one - two).abs().max() <= 1e-4 * two.abs().max())


def in_one_piece(model: TDN, clips: Tensor) -> Tensor:
    """Run the paper's figure 2 stage after stage, without a cut: clips [N, T, 5, 3, H, W] -> logits [N, classes]."""
    config = model.config
    frames = F.avg_pool2d(clips.flatten(0, 3), config.shrink).unflatten(0, (-1, 5, 3))
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
    pooled = y.mean((2, 3)).view(-1, config.segments, y.shape[1])
    if config.pooling == "statistics":
        return model.linear(torch.cat((pooled.mean(1), pooled.diff(dim=1).abs().mean(1), pooled.max(1)[0]), 1))
    return model.linear(pooled).mean(1)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_cut_in_two_equals_the_whole_network(variant: str, arch: str) -> None:
    """Segments are encoded one by one and two clips classified together; the logits are those without a cut."""
    model = small_network(arch=arch, width=0.125, **VARIANTS[variant])
    clips = random_frames(2, 8, shrink=model.config.shrink)
    with torch.inference_mode():
        parts = [model.encode(segment[None]) for segment in clips.flatten(0, 1)]
        logits = model.classify(*(torch.cat(feature) for feature in zip(*parts, strict=True)))
        assert logits.shape == (2, 5)
        assert not torch.allclose(logits[0], logits[1], rtol=1e-3)
        assert equal(logits, in_one_piece(model, clips))
        assert equal(model(clips[1:]), logits[1:])


@pytest.mark.parametrize(("stride_conv", "reads_odd_pixels"), [("3x3", True), ("1x1", False)])
def test_a_bottleneck_halves_its_stage_in_the_chosen_convolution(stride_conv: str, reads_odd_pixels: bool) -> None:
    block = small_network(arch="resnet50", width=0.125, stride_conv=stride_conv).res3[0]
    x = torch.randn(8, block.conv1.in_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[..., 1::2, :] += 1
    with torch.inference_mode():
        assert block(x).shape[-2:] == (4, 4)
        assert equal(block(x), block(other)) is not reads_odd_pixels


@pytest.mark.parametrize("segments", [8, 16])
def test_fusion_weighs_by_the_number_of_segments(segments: int) -> None:
    model, clips = small_network(segments), random_frames(1, segments)
    with torch.inference_mode():
        assert equal(model(clips), in_one_piece(model, clips))


@pytest.mark.parametrize("variant", VARIANTS)
def test_encoder_of_every_variant_reads_one_segment_only(variant: str) -> None:
    """Changing one segment changes its features only, so that a sliding window can reuse the others."""
    model, clip = small_network(width=0.125, **VARIANTS[variant]), random_frames(8)
    other = clip.clone()
    other[3] = random_frames(seed=2)
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
def test_cut_is_at_the_first_layer_that_reads_neighbours(
    options: dict[str, Any], cut: int | None, features: tuple[str, ...]
) -> None:
    model = small_network(width=0.125, **options)
    assert model.config.cut == cut
    assert model.features == features


def order_matters(model: TDN) -> tuple[bool, bool]:
    """Return whether the logits depend on the order of segments, and on the frames around the centre frames."""
    clips = random_frames(1, 8)
    others = random_frames(1, 8, seed=2)
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
def test_each_module_models_its_own_time_scale(
    options: dict[str, Any], segments_matter: bool, frames_matter: bool
) -> None:
    """TSN averages frames; T-Conv and L-TDM depend on the order of segments, S-TDM on frames around the centre."""
    assert order_matters(small_network(width=0.125, **options)) == (segments_matter, frames_matter)


@pytest.mark.parametrize(("arch", "backbone"), [("resnet18", 11_176_512), ("resnet50", 23_508_032)])
def test_tsn_is_the_plain_resnet(arch: str, backbone: int) -> None:
    """TSN has the parameters of torchvision's ResNet, with its own linear layer."""
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
        (TSM, ("stdm.", "res3.0.ltdm."), ("res5.1.temporal.",)),
        (TSN, ("stdm.", "res3.0.ltdm.", "res3.0.temporal."), ("res3.0.conv1.",)),
    ],
)
def test_variant_has_only_the_weights_that_it_uses(
    options: dict[str, Any], absent: tuple[str, ...], present: tuple[str, ...]
) -> None:
    names = list(small_network(width=0.125, **options).state_dict())
    assert [part for part in absent if any(name.startswith(part) for name in names)] == []
    assert [part for part in present if not any(name.startswith(part) for name in names)] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_weight_of_a_variant_reaches_the_logits(variant: str) -> None:
    model = small_network(width=0.125, **VARIANTS[variant])
    model(random_frames(1, 8, shrink=model.config.shrink)).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
@pytest.mark.parametrize(("multiscale", "bidirectional", "attention"), list(product([True, False], repeat=3)))
def test_ltdm_follows_the_equations(multiscale: bool, bidirectional: bool, attention: bool, upsample: str) -> None:
    """Both directions in one batch give the result of section 3.3 for each; so do the ablations of table 1b."""
    torch.manual_seed(0)
    config = TDNConfig(
        segments=4,
        ltdm_multiscale=multiscale,
        ltdm_bidirectional=bidirectional,
        ltdm_attention=attention,
        upsample=upsample,
    )
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


def test_temporal_convolution_is_initially_a_shift() -> None:
    x = torch.randn(8, 16, 1, 1)
    y = TemporalConv(16, 8)(x)
    assert torch.equal(y[:-1, :2], x[1:, :2])  # an eighth of the channels takes the next segment
    assert torch.equal(y[1:, 2:4], x[:-1, 2:4])  # an eighth takes the previous one
    assert torch.equal(y[:, 4:], x[:, 4:])


def test_online_shift_takes_from_the_previous_segment_only() -> None:
    x = torch.randn(8, 16, 1, 1)
    y = TemporalConv(16, 8, "online_shift")(x)
    assert torch.equal(y[1:, :2], x[:-1, :2])
    assert torch.equal(y[0, :2], torch.zeros(2, 1, 1))
    assert torch.equal(y[:, 2:], x[:, 2:])


@pytest.mark.parametrize("options", [TSM, {**TSM, "temporal": "online_shift"}])
def test_shifts_of_tsm_are_not_learned(options: dict[str, Any]) -> None:
    """TSM has the parameters of TSN, and a step of training leaves its shifts as they are."""
    model, tsn = small_network(width=0.125, **options), small_network(width=0.125, **TSN)
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in tsn.named_parameters()]
    before = model.state_dict()["res3.0.temporal.weight"].clone()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()(random_frames(1, 8)).sum().backward()
    optimiser.step()
    assert torch.equal(model.state_dict()["res3.0.temporal.weight"], before)


@pytest.mark.parametrize(("temporal", "online"), [("shift", False), ("online_shift", True)])
def test_tsm_is_its_initial_temporal_convolution(temporal: str, online: bool) -> None:
    """Without training, TSM is T-Conv. In the online form no segment changes the features of an earlier one."""
    model, clip = small_network(width=0.125, **{**TSM, "temporal": temporal}), random_frames(8)
    later = clip.clone()
    later[5] = random_frames(seed=2)
    seen: list[Tensor] = []
    model.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        logits, _ = model(clip[None]), model(later[None])
        learned = TDN(TDNConfig(**{**model.config.as_dict(), "temporal": "conv"})).eval()
        same = learned.load_state_dict(model.state_dict())
        assert equal(learned(clip[None]), logits)
    assert same.missing_keys == same.unexpected_keys == []
    assert equal(seen[0][:5], seen[1][:5]) is online
    assert not equal(seen[0][6:], seen[1][6:])


def test_stdm_kernel_is_initially_the_mean_of_conv1() -> None:
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
def test_config_survives_json(variant: str) -> None:
    config = TDNConfig(**VARIANTS[variant])
    assert TDNConfig.of(json.loads(json.dumps(config.as_dict()))) == config


def test_a_manifest_without_a_newer_option_is_read_with_its_default() -> None:
    stored = TDNConfig().as_dict()
    assert stored.pop("temporal") == "conv"
    assert TDNConfig.of(stored) == TDNConfig()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arch": "resnet51"}, "arch 'resnet51' is not known; allowed: resnet18, resnet34, resnet50, resnet101"),
        ({"segments": 1}, "segments 1 is too few"),
        ({"classes": 0}, "classes 0 is too few"),
        ({"width": 9.0}, "width 9.0 is out of range"),
        ({"stdm_fusion": "sum"}, "stdm_fusion 'sum' is not known; allowed: weighted, add, attention"),
        ({"temporal": "roll"}, "temporal 'roll' is not known; allowed: conv, shift, online_shift"),
        ({"upsample": "cubic"}, "upsample 'cubic' is not known; allowed: nearest, bilinear"),
        ({"stdm_stages": (0, 1)}, "stdm_stages 0 is not known; allowed: 1 to 5"),
        ({"stdm_stages": (1, 6)}, "stdm_stages 6 is not known; allowed: 1 to 5"),
        ({"ltdm_stages": (1, 2)}, "ltdm_stages 1 is not known; allowed: 2 to 5"),
        ({"temporal_conv_stages": (5, 7)}, "temporal_conv_stages 7 is not known; allowed: 2 to 5"),
    ],
)
def test_invalid_option_is_refused_by_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TDNConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 50}, "unknown option 'depth'"),
        ({"segments": 8.5}, "segments must be int, got 8.5"),
        ({"segments": "8"}, "segments must be int, got '8'"),
        ({"classes": True}, "classes must be int, got True"),
        ({"width": "wide"}, "width must be float, got 'wide'"),
        ({"ltdm_attention": "no"}, "ltdm_attention must be bool, got 'no'"),
        ({"arch": ["resnet50"]}, "arch"),
        ({"stdm_stages": 2}, "stdm_stages must be a list of stages, got 2"),
        ({"ltdm_stages": [3, "4"]}, "ltdm_stages must be a list of stages"),
        ({"ltdm_stages": [3, [4]]}, "ltdm_stages must be a list of stages"),
        ({"ltdm_stages": None}, "ltdm_stages must be a list of stages, got None"),
    ],
)
def test_stored_config_of_a_wrong_type_is_refused_by_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TDNConfig.of(wrong)
