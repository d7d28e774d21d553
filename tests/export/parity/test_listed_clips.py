"""parity and quantize on a published list of frame folders."""

import json
import shutil
from pathlib import Path

import pytest
from edge_tdn_export.__main__ import main

from edge_tdn.capture.video_file import read_file
from tests.support.exports import SmallModel
from tests.support.published_lists import write_pictures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def listed(data: Path, tmp_path: Path) -> Path:
    """A list of three frame folders, one of which is missing; the folders are elsewhere."""
    for name in ("sam2_04_coffee", "sam2_02_cups"):
        frames = zip(read_file(data / f"videos/{name}.mp4"), range(40), strict=False)
        write_pictures(tmp_path / "frames" / name, (frame.picture[::4, ::4] for frame, _ in frames), "{:06d}.jpg")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/val.txt").write_text("sam2_04_coffee 40 0\nsam2_02_cups 40 1\ngone 9 1\n")
    (tmp_path / "lists/labels.txt").write_text("one\ntwo\n")
    return tmp_path / "lists/val.txt"


def test_parity_compares_clips_of_listed_frame_folders(
    small_model: SmallModel, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reports").mkdir()
    command = ["parity", str(small_model.folder), "--clips", str(listed), "--videos-in", str(tmp_path / "frames")]
    assert main([*command, "--precision", "fp32", "--out", str(tmp_path / "reports")]) in (0, 1)  # few clips
    shown = capsys.readouterr().out
    assert f"{listed}: list of frame folders, as of TSN and TDN, 2 videos\n" in shown
    assert "val.txt:3" in "".join(shown.split()), "whole, however long its path is"
    report = json.loads((tmp_path / "reports/parity.json").read_text())
    (fp32,) = report["comparisons"]
    assert {clip["recording"] for clip in fp32["clips"]} == {"sam2_04_coffee", "sam2_02_cups"}
    assert fp32["max_logit_error"] < 1e-4
    for pixels in report["preprocessing"]:
        assert pixels["decoder_error"] == 0, "both decoders read the same pictures"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "list of videos: none of its videos exists below"),
        (["--videos-in", "/nowhere"], "--videos-in /nowhere: no such folder"),
        (["--picture-names", "x"], "--picture-names: pattern 'x': expected the name of a picture"),
    ],
)
def test_quantize_takes_the_same_options(
    options: list[str],
    message: str,
    small_model: SmallModel,
    listed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(small_model.folder, tmp_path / "model"))
    assert main(["quantize", str(folder), "--clips", str(listed), *options]) == 78
    assert message in capsys.readouterr().err
