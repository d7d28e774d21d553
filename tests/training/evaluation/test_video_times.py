"""The time of a video, from its file to its scores, in the form of the paper's table 6."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.network.reference import Networks
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands import evaluate
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.evaluation.protocols import EvaluatedModel, Logits, Protocol, Views, with_pytorch
from edge_tdn_training.evaluation.video_times import time_videos

from edge_tdn.manifest import InputSpec
from tests.support.networks import small_network

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
SPEC = InputSpec(
    segments=8, height=64, width=64, resize="short_side_centre_crop", short_side=72, frame_rate=15.0, segment_stride=4
)


@pytest.fixture
def clips(make_video: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of two classes that the shipped model knows, two videos each; one of these is not a video."""
    folder = tmp_path / "clips"
    for label in ("left", "right"):
        (folder / label).mkdir(parents=True)
        for number in range(2):
            make_video(frames=70).rename(folder / label / f"{number}.mp4")
    (folder / "right/1.mp4").write_bytes(b"no video")
    return folder


@pytest.mark.parametrize(("protocol", "batches"), [("1x1", [3]), ("10x3", [16, 16, 16, 16, 16, 10])])
def test_every_view_of_every_video_is_computed_once_in_batches_of_16(
    protocol: Protocol, batches: list[int], clips: Path, tmp_path: Path
) -> None:
    """Besides a first time before, which is not measured; what was decoded is removed."""
    network = small_network(width=0.125, classes=3)
    score = with_pytorch(Networks([network], SPEC), torch.device("cpu"))
    seen: list[Views] = []

    def recorded(batch: Views) -> Logits:
        seen.append(batch)
        return score(batch)

    data = open_data(clips)
    data = replace(data, videos=tuple(video for video in data.videos if video.path != clips / "right/1.mp4"))
    model = EvaluatedModel("small", "", ("left", "right", "up"), SPEC, {"pytorch": recorded})
    (cache := tmp_path / "cache").mkdir()
    found = time_videos(data, model, protocol, torch.device("cpu"), cache)["pytorch"]
    assert [len(batch) for batch in seen] == [*batches, *batches]
    assert np.array_equal(seen[0][0], seen[len(batches)][0])
    views = "8x10x3" if protocol == "10x3" else "8x1x1"
    assert (found.views, found.batch, found.device) == (views, batches[0], "CPU")
    assert found.videos == 3
    assert found.loading_ms > 0
    assert found.network_ms > 0
    assert found.ms == found.loading_ms + found.network_ms
    assert list(cache.iterdir()) == []


def test_the_table_has_the_papers_rows_below_ours(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "MAX_TIMED_VIDEOS", 2)
    options = ["--model", "motion", "--precision", "fp32", "pytorch", "--cache", str(tmp_path / "cache")]
    assert main(["evaluate", "--data", str(clips), *options, "--out", str(tmp_path / "out"), "--timing"]) == 0
    printed = capsys.readouterr().out
    times = r"\s+".join([r"\d+\.\d"] * 3)
    assert re.search(rf"^fp32\s+8x1x1\s+1\s+CPU\s+\d+\s+{times}\s+\d", printed, re.MULTILINE)
    assert re.search(rf"^pytorch\s+8x1x1\s+2\s+C\w+\s+1\s+{times}\s+\d", printed, re.MULTILINE)
    assert re.search(r"^paper: TDN\s+8x1x1\s+16\s+Tesla V100\s+22\.1\s+51\.3%", printed, re.MULTILINE)
    assert "only rows of one source can be compared" in " ".join(printed.split())
    timing = json.loads((tmp_path / "out/evaluation.json").read_text())["timing"]
    assert timing["precisions"].keys() == {"fp32", "pytorch"}
    for one in timing["precisions"].values():
        assert one["videos"] == 2
        assert one["ms_per_video"] == pytest.approx(one["loading_ms"] + one["network_ms"])
    assert timing["paper"][0] == {"network": "TSN", "views": "8x1x1", "ms_per_video": 7.9, "top1": 0.197}


@pytest.mark.parametrize("more", [["--data", "clips", "--model", "motion", "motion"], ["--stream", "a.mp4", "b.json"]])
def test_the_time_is_that_of_one_model_on_clips(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if "--model" in more else ["--model", "motion"]
    assert main(["evaluate", *more, *model, "--timing", "--out", str(tmp_path / "out")]) == 78
    assert "--timing: the time of a video is measured with --data and one --model" in capsys.readouterr().err
