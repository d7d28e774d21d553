"""Networks that are not a TDN: the message says what a file is, and lists few names, in the file's spelling."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.published_names import our_name, published_name
from edge_tdn_export.network.tdn import TDN

from edge_tdn.errors import ModelError
from tests.support.networks import T_CONV, small_network

RESNET = [name for name in small_network().state_dict() if not re.search(r"stdm|ltdm|temporal|linear", name)]


def _torchvision(names: Iterable[str]) -> list[str]:
    return [re.sub(r"^res(\d)", lambda stage: f"layer{int(stage[1]) - 1}", name) for name in names]


TSM = [re.sub(r"(layer.*conv1)", r"\1.net", f"base_model.{name}") for name in _torchvision(RESNET)]
TSN = [f"base_model.{name}" for name in _torchvision(RESNET)]
MMACTION = ["backbone." + re.sub(r"(conv\d)", r"\1.conv", name) for name in _torchvision(RESNET)]
PUBLISHED_LAST, MMACTION_LAST = ["new_fc.weight", "new_fc.bias"], ["cls_head.fc_cls.weight", "cls_head.fc_cls.bias"]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (TSM + PUBLISHED_LAST, "a TSM network (`base_model.layer1.0.conv1.net.weight`): no S-TDM, no L-TDM; edge-tdn"),
        (TSN + PUBLISHED_LAST, "a ResNet without temporal modules, such as TSN (`base_model.layer1.0.conv1.weight`)"),
        (MMACTION + MMACTION_LAST, "a network of mmaction2 (`layer1.0.conv1.conv.weight`): no S-TDM, no L-TDM"),
        (
            [*_torchvision(RESNET), "fc.weight", "fc.bias"],
            "an image network (`fc.weight`): a start for training (edge-tdn-train train --from), not a TDN",
        ),
    ],
    ids=["TSM", "TSN", "mmaction2", "ImageNet"],
)
def test_weights_of_another_network_are_named_before_their_entries(
    names: list[str], expected: str, prefix: str, tmp_path: Path
) -> None:
    """Without --segments, too: nothing is asked that would not help."""
    torch.save({"state_dict": {prefix + name: torch.zeros(2) for name in names}}, tmp_path / "best.pth.tar")
    with pytest.raises(ModelError) as error:
        checkpoint.load(tmp_path / "best.pth.tar")
    first, *lines = str(error.value).splitlines()
    assert first.startswith(f"{tmp_path}/best.pth.tar: {expected}")
    assert len(lines) <= 14
    unexpected = lines[next(n for n, line in enumerate(lines) if line.startswith("  unexpected")) + 1 :]
    assert {line.strip() for line in unexpected[:-1]} < {prefix + name for name in names}
    assert re.fullmatch(r"    and \d+ more", unexpected[-1])


def test_tdn_without_its_last_layer_is_named(tmp_path: Path) -> None:
    state = {published_name(name): value for name, value in small_network().state_dict().items()}
    cut = {name: value for name, value in state.items() if "layer4_bak" not in name and "new_fc" not in name}
    torch.save(cut, tmp_path / "cut.pth")
    with pytest.raises(ModelError, match=r"cut\.pth: a TDN, but its last layers are missing \(`new_fc` or `linear`\)"):
        checkpoint.load(tmp_path / "cut.pth", segments=8)


def test_network_without_modules_is_loaded_and_the_note_says_so(tmp_path: Path) -> None:
    notes: list[str] = []
    torch.save(small_network(width=0.125, **T_CONV).state_dict(), tmp_path / "w.pth")
    checkpoint.load(tmp_path / "w.pth", note=notes.append, segments=8)
    assert notes[-1] == "w.pth: resnet18, width 0.125 without S-TDM and L-TDM, 5 classes, T = 8"


@pytest.mark.data
def test_published_names_are_the_inverse_of_ours(reference: Path) -> None:
    for path in reference.glob("*.keys.json"):
        names = json.loads(path.read_text())
        assert [published_name(ours) for name in names if (ours := our_name(name))] == [
            name for name in names if our_name(name)
        ]


def test_networks_of_ours_are_not_taken_for_others(tmp_path: Path) -> None:
    model: TDN = small_network(width=0.125)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    assert checkpoint.load(tmp_path / "w.pth", segments=8).config == model.config
