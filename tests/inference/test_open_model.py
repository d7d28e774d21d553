"""The model of a configuration: a link to its folder is followed once."""

import shutil
from pathlib import Path

from edge_tdn.config.load import parse
from edge_tdn.inference.open_model import open_configured_model
from edge_tdn.manifest import shipped_models


def test_a_link_that_changes_later_does_not_mix_two_models(tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(shipped_models() / "motion", tmp_path / name)
    current = tmp_path / "current"
    current.symlink_to("first")
    config = parse({"runtime": {"model": str(current)}, "camera": [{"name": "a", "source": "demo:"}]}, "test")
    model = open_configured_model(config, tmp_path)
    current.unlink()
    current.symlink_to("second")
    shutil.rmtree(tmp_path / "second")
    assert model.folder == tmp_path / "first"
    assert model.read("labels.txt")
