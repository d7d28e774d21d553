"""The notes that a fine-tuning prints about the clips and the best epoch."""

import io
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_training.__main__ import _parser
from edge_tdn_training.commands.finetune_data import prepare_data, too_short_note
from edge_tdn_training.commands.finetune_plan import make_plan
from edge_tdn_training.commands.finetune_training import best_epoch_note
from edge_tdn_training.training_config import TrainingConfig
from rich.console import Console

from edge_tdn.capture.video_file import read_file
from edge_tdn.manifest import InputSpec
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import VideoWriter
from edge_tdn.messages import NS_PER_S
from tests.support.training_clips import make_clips

pytestmark = pytest.mark.training


def spec(stride: int) -> InputSpec:
    return InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=stride)


@pytest.mark.parametrize(
    ("frames", "stride", "advice"),
    [
        (30, 2, ""),  # long enough
        (30, 4, "2.4 s that a clip of the model needs; record longer ones, or use --segment-stride 3"),
        (15, 4, "2.4 s that a clip of the model needs; record longer ones, or use --segment-stride 1"),
        (14, 2, "record longer ones, or use --segment-stride 1"),
        (10, 4, "2.4 s that a clip of the model needs; record longer ones"),
        (10, 1, "record longer ones"),
    ],
)
def test_a_stride_is_advised_only_where_it_suffices(frames: int, stride: int, advice: str) -> None:
    note = "".join(too_short_note([frames, frames, 99], spec(stride)))
    assert note.endswith(advice)
    assert bool(note) == bool(advice)
    assert ("--segment-stride" in note) == ("--segment-stride" in advice)


def test_the_best_epoch_is_explained_by_the_fall_of_the_rate_only_after_it() -> None:
    def note(config: TrainingConfig, *losses: float) -> str:
        return best_epoch_note([{"rate": config.rate_at(n), "held_out_loss": loss} for n, loss in enumerate(losses)])

    few = TrainingConfig(epochs=2, milestones=(0.6, 0.85))
    assert note(few, 0.5, 0.4) == "best epoch: 2 of 2, with the lowest held-out loss"
    many = TrainingConfig(epochs=10, milestones=(0.5,))
    fallen = "best epoch: 7 of 7, with the lowest held-out loss since the learning rate fell"
    assert note(many, *np.linspace(0.1, 0.7, 5), 0.9, 0.8) == fallen


@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
def test_a_video_that_is_used_in_part_is_named(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "clips", each=3)
    video, whole = clips / "left/gap.mp4", clips / "left/take-0.mp4"
    with closing(VideoWriter(video)) as writer:
        for frame in read_file(whole):
            writer.write(frame.picture, frame.pts_ns + (frame.seq > 8) * 2 * NS_PER_S)
        writer.finish()
    line = f"finetune --data {clips} --out {tmp_path / 'own'} --from motion --cache {tmp_path / 'cache'}"
    plan = make_plan(_parser().parse_args([*line.split(), "--without-background"]))
    printed = Console(file=io.StringIO(), soft_wrap=True)
    data = prepare_data(plan, plan.start.spec, ("a note on the weights",), printed)
    assert "a note on the weights" in data.notes
    (note,) = (note for note in data.notes if "used" in note)
    assert note.startswith(f"{video}: only its longest run, 1.3 s of 1.9 s, is used")
    assert printed.file.getvalue().count(note) == 1  # type: ignore[attr-defined]
