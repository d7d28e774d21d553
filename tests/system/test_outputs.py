"""The results of every command of the three programs: missing folders are created, wrong places are errors."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from edge_tdn_export.__main__ import main as export
from edge_tdn_training.__main__ import main as train

from edge_tdn.__main__ import main as edge_tdn
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.errors import ConfigError
from edge_tdn.output import check_output_file, check_output_folder, write_output
from tests.conftest import ROOT
from tests.support.networks import small_network

Program = Callable[[Sequence[str]], int]
DEMO_SITE = str(ROOT / "configs/demo.toml")
COMMANDS: dict[str, tuple[Program, list[str]]] = {
    "bench": (edge_tdn, ["bench", "--json", "{}.json"]),
    "replay --json": (edge_tdn, ["replay", "demo:", "--config", DEMO_SITE, "--json", "{}.jsonl"]),
    "replay --plot": (edge_tdn, ["replay", "demo:", "--config", DEMO_SITE, "--plot", "{}.png"]),
    "demo": (edge_tdn, ["demo", "--screenshot", "{}.svg"]),
    "convert": (export, ["convert", "{weights}", "{}", "--labels", "{labels}", "--size", "64"]),
    "ensemble": (export, ["ensemble", "{shipped}", "{shipped}", "{}"]),
    "parity": (export, ["parity", "motion", "--out", "{}"]),
    "explain": (export, ["explain", "motion", "demo:", "--out", "{}.png"]),
    "evaluate": (train, ["evaluate", "--data", "clips", "--model", "motion", "--out", "{}"]),
    "show-motion": (train, ["show-motion", "{}.png", "--rows", "1"]),
    "evaluate-motion": (train, ["evaluate-motion", "motion", "--wrong", "{}.png"]),
    "motion": (train, ["motion", "--out", "{}", "--drawings", "32", "--workers", "0"]),
    "ablation": (train, ["ablation", "--out", "{}", "--drawings", "32", "--workers", "0", "--tables", "1d"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_file_in_place_of_a_folder_is_an_error_before_the_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Above the results is a file: the message names it, nothing is written, and the exit status is 78."""
    from edge_tdn_export.network import checkpoint

    places = {
        "weights": tmp_path / "w.safetensors",
        "labels": tmp_path / "labels.txt",
        "shipped": ROOT / "edge_tdn/models/motion",
    }
    checkpoint.save(small_network(width=0.125, classes=2), places["weights"])
    places["labels"].write_text("one\ntwo\n")
    (tmp_path / "notes").write_text("mine")
    program, arguments = COMMANDS[command]
    out = str(tmp_path / "notes/new/results")
    assert program([argument.format(out, **places) for argument in arguments]) == 78
    errors = capsys.readouterr().err
    assert str(tmp_path / "notes") in errors
    assert "Traceback" not in errors
    assert (tmp_path / "notes").read_text() == "mine"


def test_missing_folders_are_created(tmp_path: Path) -> None:
    folder = tmp_path / "runs/new"
    assert export(["explain", "motion", str(demo_clip()), "--at", "5", "--out", str(folder / "explain/why.png")]) == 0
    assert edge_tdn(["replay", "demo:", "--config", DEMO_SITE, "--json", str(folder / "replay/events.jsonl")]) == 0
    assert train(["show-motion", str(folder / "clips/sheet.png"), "--rows", "1"]) == 0
    assert json.loads((folder / "replay/events.jsonl").read_text().splitlines()[0])["camera"]
    assert {path.name for path in folder.rglob("*.*")} == {"why.png", "events.jsonl", "sheet.png"}


def test_places_are_checked_without_creating_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output_folder(tmp_path / "a/b/c")
    check_output_file(tmp_path / "a/b/c.json")
    check_output_file(Path("/dev/null"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        check_output_file(tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)  # the superuser of a test may write everywhere
    with pytest.raises(ConfigError, match=f"this user cannot write to {tmp_path}; choose another place"):
        check_output_folder(tmp_path / "a/b")


def test_output_replaces_files_and_not_links_or_devices(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for content in (b"one", b"two"):
        write_output(tmp_path / "link", content)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"two"
    write_output(Path("/dev/null"), b"three")
    assert Path("/dev/null").is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]
