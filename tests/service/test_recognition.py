"""Scores of a camera's clips become events, which are published and recorded."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.config.tables import Config
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S, Scores
from edge_tdn.service.camera_settings import ZoneSettings
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.clip_statistics import ClipStatistics
from edge_tdn.service.recognition import STAGES, Recognition
from edge_tdn.service.recorder_slot import RecorderSlot
from tests.support.actions import clip_scores
from tests.support.decisions import PROMPT
from tests.support.fakes import PublisherLog, RecorderLog, fail
from tests.support.zones import camera_settings


class Recognised:
    """The recognition of one camera, and what it publishes and records."""

    def __init__(self, motion: Model, publish_scores: bool = False) -> None:
        self._model, self._publish_scores = motion, publish_scores
        self.publisher: Any = PublisherLog()
        self.recorder = RecorderLog()
        self.observed: list[str] = []
        slot = RecorderSlot()
        slot.replace(self.recorder)
        self.clips = ClipStatistics()
        self.view = CameraView("door")
        self.recognition = Recognition(
            self.settings(PROMPT),
            CameraTopics(self.publisher, "door"),
            slot,
            self.clips,
            EventNumbers(7),
            observe=lambda camera, stage, seconds: self.observed.append(stage),
            view=self.view,
        )

    def settings(self, decide: dict[str, object]) -> ZoneSettings:
        config = Config.model_validate(
            {
                "host": "here",
                "broker": {"scores": self._publish_scores},
                "decide": decide,
                "camera": [{"name": "door", "source": "demo:"}],
            }
        )
        (zone,) = camera_settings(config, self._model).zones
        return zone

    def clip(self, at_s: float, label: str | None = None) -> Scores:
        """Score a clip: sure of this label, or of none."""
        logits = np.zeros(len(self._model.labels), np.float32)
        if label is not None:
            logits[self._model.labels.index(label)] = 9.0
        at_ns = round(at_s * NS_PER_S)
        scores = replace(clip_scores(at_s), logits=logits, received_ns=at_ns, scored_ns=at_ns)
        self.recognition.scored(scores)
        return scores

    @property
    def events(self) -> list[tuple[str, str, str | None]]:
        return [(event.type, event.label, event.reason) for event in self.publisher.events]


@pytest.fixture
def recognised(motion: Model) -> Recognised:
    return Recognised(motion)


def test_an_action_is_published_recorded_and_shown_as_the_current_one(recognised: Recognised) -> None:
    deciding = recognised.clip(1.0, "left")
    assert recognised.events == [("start", "left", None)]
    assert recognised.publisher.actions == ["left"]
    (event,) = recognised.publisher.events
    assert event.seq == 8
    assert event.latency_ms is not None
    assert event.latency_ms.total >= 0
    assert recognised.recorder.events == [(event, deciding)]
    assert recognised.clips.clips == 1
    assert recognised.observed == list(STAGES)


def test_a_break_ends_the_action_without_a_clip_that_decided(recognised: Recognised) -> None:
    recognised.clip(1.0, "left")
    recognised.recognition.broken("stream_lost")
    assert recognised.events[-1] == ("end", "left", "stream_lost")
    assert recognised.publisher.actions == ["left", None]
    event, scores = recognised.recorder.events[-1]
    assert (event.latency_ms, scores) == (None, None)


def test_an_action_keeps_the_names_of_its_files(recognised: Recognised) -> None:
    """Even if another recorder has taken over, whose files have other names."""
    recognised.recorder.snapshot = "door/one.jpg"
    recognised.clip(1.0, "left")
    recognised.recorder.snapshot = "door/two.jpg"
    recognised.recognition.broken("stream_lost")
    recognised.clip(2.0, "left")
    named = [(event.type, event.snapshot) for event in recognised.publisher.events]
    assert named == [("start", "door/one.jpg"), ("end", "door/one.jpg"), ("start", "door/two.jpg")]
    assert [event.snapshot for event, _ in recognised.recorder.events] == ["door/one.jpg"] * 2 + ["door/two.jpg"]


def test_a_snapshot_cannot_overtake_its_event_and_the_current_action(
    recognised: Recognised, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = []
    publisher = recognised.publisher
    monkeypatch.setattr(
        recognised.recorder, "event", lambda *_, **__: published.append((len(publisher.events), publisher.actions[-1:]))
    )
    recognised.clip(1.0, "left")
    assert published == [(1, ["left"])]


def test_an_event_is_published_even_if_the_recorder_fails(
    recognised: Recognised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognised.recorder, "named", fail)
    recognised.clip(1.0, "left")
    assert recognised.events == [("start", "left", None)]


def test_repeated_scores_are_not_timed(recognised: Recognised) -> None:
    recognised.recognition.scored(replace(clip_scores(1.0), repeated=True))
    assert recognised.observed == []
    assert recognised.clips.clips == 1


@pytest.mark.parametrize("publish_scores", [True, False])
def test_the_best_labels_of_a_clip_are_published_where_the_configuration_says_so(
    motion: Model, publish_scores: bool
) -> None:
    recognised = Recognised(motion, publish_scores)
    recognised.clip(1.0, "left")
    tops = recognised.publisher.top_scores
    assert len(tops) == publish_scores
    if publish_scores:
        assert next(iter(tops[0].scores)) == "left"
        assert len(tops[0].scores) == 5


def test_thresholds_can_be_set_while_it_runs(recognised: Recognised) -> None:
    recognised.recognition.set_thresholds(1.0, 1.0, "left")
    recognised.clip(1.0, "left")
    assert recognised.events == []
    with pytest.raises(ValueError, match="no action 'lift'"):
        recognised.recognition.set_thresholds(0.5, 0.4, "lift")


def test_other_settings_end_what_cannot_continue_under_them(recognised: Recognised) -> None:
    recognised.clip(1.0, "left")
    recognised.recognition.change(recognised.settings(PROMPT | {"enter_threshold": 0.7}))
    assert recognised.events == [("start", "left", None)], "it continues"
    recognised.recognition.change(recognised.settings(PROMPT | {"only": ["right"]}))
    assert recognised.events[-1] == ("end", "left", "shutdown")
    assert recognised.publisher.actions == ["left", None]


def test_scores_that_are_not_numbers_end_the_action_and_are_in_the_status_until_a_clip_can_be_used(
    recognised: Recognised, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a network that overflows in half precision: no event, and no score, comes from them."""
    recognised.clip(1.0, "left")
    for n in range(3):
        logits = np.full(len(recognised._model.labels), np.nan, np.float32)
        recognised.recognition.scored(replace(clip_scores(1.5 + n / 4), logits=logits))
    assert recognised.events == [("start", "left", None), ("end", "left", "failed")]
    assert recognised.publisher.actions == ["left", None]
    assert recognised.clips.trouble.startswith("no action: the network's scores are not numbers; choose another prec")
    assert caplog.text.count("camera=door no action: ") == 1
    assert "Traceback" not in caplog.text
    recognised.clip(3.0, "left")
    assert recognised.events[2:] == [("start", "left", None)]
    assert [event.seq for event in recognised.publisher.events] == [8, 9, 10]
    assert recognised.clips.trouble == ""


@pytest.mark.parametrize("method", ["push", "break_off"])
def test_fault_while_deciding_ends_the_action_of_its_camera_and_nothing_else(
    recognised: Recognised, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The decider may have stopped midway, with numbers already used: events continue after the last published one."""

    def fail(*_: object) -> None:
        recognised.recognition._numbers.take()
        raise KeyError("left")

    recognised.recognition.set_thresholds(0.9, 0.3, None)
    recognised.recognition.set_thresholds(0.7, 0.6, "left")
    recognised.clip(1.0, "left")
    monkeypatch.setattr(recognised.recognition._decider, method, fail)
    if method == "push":
        recognised.clip(1.5, "left")
    else:
        recognised.recognition.broken("stream_lost")
    assert recognised.clips.trouble == "no action: KeyError: 'left'"
    assert "camera=door no action: KeyError: 'left'" in caplog.text
    recognised.clip(3.0, "left")
    assert recognised.events == [("start", "left", None), ("end", "left", "failed"), ("start", "left", None)]
    assert [event.seq for event in recognised.publisher.events] == [8, 9, 10]
    thresholds = recognised.recognition.thresholds
    assert (thresholds.enter, thresholds.exit) == (0.9, 0.3)
    assert thresholds.actions["left"].model_dump() == {"enter": 0.7, "exit": 0.6}


def test_recorder_that_fails_changes_no_event(
    recognised: Recognised, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("left")

    monkeypatch.setattr(recognised.recorder, "event", fail)
    recognised.clip(1.0, "left")
    recognised.recognition.broken("stream_lost")
    assert recognised.events == [("start", "left", None), ("end", "left", "stream_lost")]
    assert "camera=door not recorded: KeyError: 'left'; id=here/door/b007/8" in caplog.text


def test_the_page_keeps_the_scores_that_were_decided_on_and_the_breaks(recognised: Recognised) -> None:
    """Scores that are not numbers are not among them: there the decider begins again."""
    clip = recognised.clip(1.0, "left")
    nan = np.full(len(recognised._model.labels), np.nan, np.float32)
    recognised.recognition.scored(replace(clip_scores(1.5), logits=nan))
    recognised.clip(2.0)
    recognised.recognition.broken("stream_lost")
    kept = recognised.view.kept(None)
    assert kept
    rows = list(kept.read().rows())
    assert [row if isinstance(row, str) else row.to_ns / NS_PER_S for row in rows] == [1, "failed", 2, "stream_lost"]
    assert not isinstance(rows[0], str)
    np.testing.assert_array_equal(rows[0].logits, clip.logits)


def test_the_page_keeps_scores_over_other_limits_but_not_over_other_labels(recognised: Recognised) -> None:
    kept = recognised.view.kept(None)
    recognised.recognition.change(recognised.settings({**PROMPT, "enter_threshold": 0.9}))
    assert recognised.view.kept(None) is kept
    settings = recognised.settings(PROMPT)
    model = Model(settings.model.folder, settings.model.manifest, "0" * 64, ("a", *settings.model.labels[1:]))
    recognised.recognition.change(replace(settings, model=model))
    other = recognised.view.kept(None)
    assert other is not kept
    recognised.clip(1.0, "left")
    assert other
    assert len(other.read()) == 1
