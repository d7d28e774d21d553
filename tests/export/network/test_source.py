"""The weights that a name means, and what the folder around them states."""

import json
from pathlib import Path

import pytest
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.source import find_source, locate

from edge_tdn.errors import ModelError
from edge_tdn.manifest import LABELS, WEIGHTS, Model
from tests.support.exports import SPEC, SmallModel, planned, write_labels
from tests.support.networks import small_network

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_local_folder_without_weights_does_not_hide_a_shipped_model(
    motion: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a folder of recordings; `./motion` means it, and so does its name once it has weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "motion").mkdir()
    assert find_source("motion").weights == motion.folder / WEIGHTS
    with pytest.raises(ModelError, match="motion: is a folder; give a checkpoint"):
        checkpoint.load(find_source("./motion").weights)
    checkpoint.save(small_network(width=0.125), tmp_path / "motion" / WEIGHTS, SPEC)
    assert find_source("motion").weights == Path("motion", WEIGHTS)


def test_a_name_without_anything_is_an_error_with_the_nearest_shipped_model() -> None:
    with pytest.raises(ModelError, match=r"^motoin: no such .* or shipped model; did you mean 'motion'\?$"):
        locate("motoin")
    with pytest.raises(ModelError, match=r"^runs/12: no such checkpoint, run, model folder or shipped model$"):
        locate("runs/12")


def test_the_input_of_an_older_run_is_read_from_its_record(tmp_path: Path) -> None:
    """Its weights do not state it; where they do, the record is not needed."""
    checkpoint.save(small_network(width=0.125), tmp_path / WEIGHTS)
    (tmp_path / "run.json").write_text(json.dumps({"input": SPEC.model_dump(mode="json")}))
    assert find_source(tmp_path).input == find_source(tmp_path / WEIGHTS).input == SPEC
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ModelError, match=r"run\.json: not a run\.json that a training wrote: 'input'"):
        find_source(tmp_path)


LABELLED = ("door open", "Background", "fall")


@pytest.mark.parametrize(
    ("more", "background", "printed"),
    [
        ([], ("Background",), "background, which never starts an action: Background ("),
        (["--background", "fall"], ("fall",), ""),
        (["--background"], (), ""),
    ],
)
def test_the_class_background_of_a_training_starts_no_action(
    more: list[str], background: tuple[str, ...], printed: str, tmp_path: Path
) -> None:
    """Unless --background names others, or none."""
    (tmp_path / "run").mkdir()
    checkpoint.save(small_network(width=0.125, classes=3), tmp_path / "run" / WEIGHTS, SPEC)
    write_labels(tmp_path / "run" / LABELS, LABELLED)
    (_, recipe), notes = planned(["convert", f"{tmp_path}/run", f"{tmp_path}/m", *more])
    assert recipe.background == background
    assert printed in "\n".join(notes)


def test_a_model_folder_states_its_background_itself(small_model: SmallModel, tmp_path: Path) -> None:
    checkpoint.save(small_network(width=0.125, classes=3), tmp_path / "w.safetensors")
    assert find_source(small_model.folder).background_of(LABELLED) == ("one",)
    assert find_source(tmp_path / "w.safetensors").background_of(LABELLED) == ("Background",)
