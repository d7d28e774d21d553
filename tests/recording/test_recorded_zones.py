"""What is recorded of a camera's zones: their outlines, and no more than the recorder knows of."""

import pytest

from edge_tdn.jpeg_comment import with_comment
from edge_tdn.manifest import Model
from edge_tdn.media import gstreamer
from edge_tdn.media.outline import Outline
from edge_tdn.recording.action_recorder import RecordedZone
from edge_tdn.recording.snapshot import banner_text, draw
from tests.support.actions import action_event, clip_scores
from tests.support.recorder import Make, give, play
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def test_a_snapshot_of_a_zone_shows_its_outline_in_the_whole_picture(
    make_recorder: Make, motion: Model, published: list[tuple[str | None, bytes]]
) -> None:
    outline = Outline((0.25, 0.1, 0.5, 0.5))
    zone = RecordedZone("gate", motion.manifest.input, hop=1, min_length_s=0.0, outline=outline)
    recorder = make_recorder(zones=[zone], clip=False)
    play(recorder, 0, 41)
    start = action_event(1, "start", 2.0).model_copy(update={"zone": "gate"})
    give(recorder, start, clip_scores(2.0))
    eventually(lambda: published)
    ((name, jpeg),) = published
    assert name == "gate"
    shown = recorder._recent.nearest(*recorder._zones["gate"][1].snapshot(clip_scores(2.0)))
    assert shown
    assert with_comment(draw(shown.decoded, banner_text("left", 1, "gate"), 0.9, outline), start.id) == jpeg


def test_frames_are_kept_for_the_zone_that_needs_them_longest(make_recorder: Make, motion: Model) -> None:
    spec = motion.manifest.input
    short, long = (RecordedZone(f"z{s}", spec, hop=1, min_length_s=s) for s in (0.0, 9.0))
    alone, both = make_recorder(zones=[long]), make_recorder(zones=[short, long])
    assert both._recent.span_ns == alone._recent.span_ns > make_recorder(zones=[short])._recent.span_ns


def test_an_event_of_a_zone_that_came_after_the_recorder_names_no_file(make_recorder: Make, motion: Model) -> None:
    """A reload adds the zone first, and its recorder follows, or is replaced."""
    recorder = make_recorder(zones=[RecordedZone("gate", motion.manifest.input, hop=1, min_length_s=0.0)])
    play(recorder, 0, 41)
    start = action_event(1, "start", 2.0).model_copy(update={"zone": "new"})
    named = give(recorder, start, clip_scores(2.0))
    assert (named.snapshot, named.clip) == (None, None)
    assert recorder.named(start.model_copy(update={"zone": "gate"})).clip


def test_a_recorder_follows_other_zones_unless_they_need_frames_for_longer(make_recorder: Make, motion: Model) -> None:
    spec = motion.manifest.input
    gate = RecordedZone("gate", spec, hop=1, min_length_s=1.0)
    recorder = make_recorder(zones=[gate])
    play(recorder, 0, 41)
    start = action_event(1, "start", 2.0).model_copy(update={"zone": "new"})
    assert not recorder.follow([gate, RecordedZone("new", spec, hop=1, min_length_s=9.0)])
    assert recorder.named(start).clip is None
    assert recorder.follow([RecordedZone("new", spec, hop=1, min_length_s=1.0)])
    assert recorder.named(start).clip
    assert recorder.named(start.model_copy(update={"zone": "gate"})).clip is None, "it has left"
