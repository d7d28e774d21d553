"""Evidence of a checkpoint's network: options are needed only where nothing else shows it."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from torch import Tensor

from edge_tdn.errors import ModelError
from tests.support.networks import VARIANTS, published_names, small_network

State = dict[str, Tensor]
# fields that change no weight
INVISIBLE = ("stdm_fusion", "ltdm_bidirectional", "ltdm_attention", "temporal", "upsample", "stride_conv", "shrink")


@pytest.fixture(scope="module")
def state() -> State:
    """Return weights whose temporal convolutions are no longer shifts."""
    return small_network(width=0.125).state_dict()


def config_of(content: object, path: Path, **options: Any) -> tuple[TDNConfig, str]:
    """Save and load; return the network that was found, and the note about it."""
    path.parent.mkdir(exist_ok=True)
    torch.save(content, path)
    notes: list[str] = []
    return checkpoint.load(path, "", notes.append, **options).config, "\n".join(notes)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("published", [False, True])
def test_architecture_width_and_classes_are_read_from_the_weights(arch: str, published: bool, tmp_path: Path) -> None:
    expected = TDNConfig(arch=arch, segments=16, classes=7, width=0.125, conv_bias=published)
    weights = TDN(expected).state_dict()
    got, note = config_of(published_names(weights) if published else weights, tmp_path / "w.pth", segments=16)
    assert got == expected
    assert note.endswith(f"w.pth: {arch}, width 0.125, 7 classes, T = 16")


@pytest.mark.parametrize("variant", [name for name, options in VARIANTS.items() if not {*options} & {*INVISIBLE}])
def test_modules_of_the_ablations_are_read_from_the_weights(variant: str, tmp_path: Path) -> None:
    """But for an S-TDM that is fused after its last stage alone: its weights are those of an S-TDM fused after each."""
    options = VARIANTS[variant]
    model = small_network(width=0.125, **options)
    got, _ = config_of(model.state_dict(), tmp_path / "w.pth", segments=8)
    stages = model.config.stdm_stages
    assert got.stdm_stages == tuple(range(1, max(stages, default=0) + 1))
    assert got == TDNConfig(**{**model.config.as_dict(), "stdm_stages": got.stdm_stages, **_unseen(model.config)})


def _unseen(config: TDNConfig) -> dict[str, Any]:
    return {} if config.ltdm_stages else {"ltdm_multiscale": True}


MMACTION = """model = dict(
    backbone=dict(type='ResNetTDN', depth=18, num_segments=16),
    cls_head=dict(num_segments=16))
"""
STATEMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "arguments": ({"args": argparse.Namespace(num_segments=16, arch="resnet18")}, "`args.num_segments`"),
    "arguments as a table": ({"args": {"num_segments": 16, "lr": 0.1}}, "`args.num_segments`"),
    "hyperparameters": ({"hyper_parameters": {"net": {"n_segment": 16}}}, "`hyper_parameters.net.n_segment`"),
    "configuration of mmaction2": ({"meta": {"config": MMACTION, "epoch": 5}}, "`num_segments` in `meta.config`"),
    "configuration of mmengine": ({"meta": {"cfg": MMACTION}}, "`num_segments` in `meta.cfg`"),
    "twice alike": ({"args": {"num_segments": 16}, "config": {"segments": 16}}, "`args.num_segments`"),
    "a word of many meanings": ({"net": {"segments": 16, "backbone": "resnet18"}}, "`net.segments`"),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_number_of_segments_is_read_from_what_the_trainer_saved(case: str, state: State, tmp_path: Path) -> None:
    entries, source = STATEMENTS[case]
    got, note = config_of({"state_dict": state, **entries}, tmp_path / "w.pth")
    assert got == TDNConfig(arch="resnet18", segments=16, classes=5, width=0.125, conv_bias=False)
    assert f"T = 16 by {source}" in note


@pytest.mark.parametrize(
    ("folder", "file", "segments"),
    [
        ("TDN__something_RGB_resnet50_avg_segment8_e60", "best.pth.tar", 8),
        ("TDN__kinetics_RGB_resnet50_avg_segment16_e100", "best.pth.tar", 16),
        ("weights", "tdn_resnet50_8f_174c.pth", 8),
        ("weights_16frames", "best.pth", 16),
        ("runs", "my-16f.pth", 16),
    ],
)
def test_number_of_segments_is_read_from_the_names_last(
    folder: str, file: str, segments: int, state: State, tmp_path: Path
) -> None:
    """The published files state nothing but `arch`; their trainer names the folder after T."""
    got, note = config_of({"arch": "resnet18", "state_dict": state}, tmp_path / folder / file)
    assert got.segments == segments
    assert f"T = {segments} by the name `" in note
    other = 24 - segments
    stated = {"state_dict": state, "args": {"num_segments": other}}
    assert config_of(stated, tmp_path / folder / file)[0].segments == other, "what the file states comes first"
    got, note = config_of({"state_dict": state}, tmp_path / folder / file, segments=other)
    assert got.segments == other, "a name proves nothing"
    assert f"states T = {segments}, but {other} is requested" in note


@pytest.mark.parametrize("name", ["best.pth.tar", "segment4.pth", "1080f.pth", "segment8-16f.pth"])
def test_number_of_segments_that_nothing_shows_is_asked_for(name: str, state: State, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not state its T.*--segments, 8 or 16"):
        config_of({"state_dict": state}, tmp_path / "w" / name)


def test_segments_of_a_table_that_describes_no_network_state_nothing(state: State, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not state its T"):
        config_of({"state_dict": state, "lr_scheduler": {"segments": 3, "lr": 0.1}}, tmp_path / "w.pth")


CONTRADICTIONS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "requested and stated": (
        {"args": {"num_segments": 16}},
        {"segments": 8},
        "was trained with segments = 16, requested is 8 (by `args.num_segments`)",
    ),
    "requested and shown": (
        {},
        {"arch": "resnet50", "segments": 8},
        "its weights have arch = 'resnet18', requested is 'resnet50' (by 2, 2, 2, 2 blocks of two convolutions)",
    ),
    "fixed shifts and learned ones": (
        {},
        {"temporal": "shift", "segments": 8},
        "its weights have temporal = 'conv', requested is 'shift' (by their temporal convolutions)",
    ),
    "classes": (
        {},
        {"classes": 6, "segments": 8},
        "its weights have classes = 5, requested is 6 (by linear layer)",
    ),
    "stated and shown": (
        {"arch": "resnet101"},
        {"segments": 8},
        "was trained with arch = 'resnet101', in its weights is 'resnet18' (by `arch`, 2, 2, 2, 2 blocks of two "
        "convolutions); if the weights are right: --arch resnet18",
    ),
    "two statements": (
        {"args": {"num_segments": 16}, "hyper_parameters": {"num_segments": 8}},
        {},
        "states segments = 16 (`args.num_segments`) and 8 (`hyper_parameters.num_segments`); choose one with "
        "--segments",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused_and_both_sides_named(case: str, state: State, tmp_path: Path) -> None:
    entries, options, message = CONTRADICTIONS[case]
    with pytest.raises(ModelError) as error:
        config_of({"state_dict": state, **entries}, tmp_path / "w.pth", **options)
    assert str(error.value) == f"{tmp_path / 'w.pth'}: {message}"


def test_an_option_settles_what_the_file_contradicts_itself_about(state: State, tmp_path: Path) -> None:
    wrong = {"state_dict": state, "arch": "resnet101", "a": {"num_segments": 8}, "b": {"num_segments": 8}}
    assert config_of(wrong, tmp_path / "w.pth", arch="resnet18")[0].arch == "resnet18"


@pytest.mark.parametrize("segments", [8, 16])
def test_an_option_chooses_one_of_two_statements(segments: int, state: State, tmp_path: Path) -> None:
    """As the message about them advises; a value that neither states stays refused."""
    both = {"state_dict": state, "args": {"num_segments": 16}, "hyper_parameters": {"num_segments": 8}}
    assert config_of(both, tmp_path / "w.pth", segments=segments)[0].segments == segments
    with pytest.raises(ModelError, match=r"was trained with segments = 16, requested is 4 \(by `args"):
        config_of(both, tmp_path / "w.pth", segments=4)
